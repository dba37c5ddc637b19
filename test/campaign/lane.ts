/**
 * One target with one application behind it, and every attack that is meant for it, family by family.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Attack } from './attack.ts'
import { END_MS, send } from './client.ts'
import type { Target } from './target.ts'
import type { Reading, Upstream } from './upstream.ts'
import { beginningOf, findingsIn, readingOf, type Finding } from './verdict.ts'

/** Connections at once. */
const AT_ONCE = 12
/** The others are not asked to leave an application when a client has left: http-proxy never does. */
const OTHERS_END_MS = 3_000
/** How long a client waits for the first byte before it says that it has said all. */
const PATIENCE_MS = { php: 5_000, wsgiref: 1_000, tornado: 500, node: 500, recorder: 250 } as const

export interface Tally {
  sent: number
  arrived: number
  read: number
  /** How many connections were first answered with each status. */
  readonly answers: Readonly<Record<string, number>>
  readonly findings: Finding[]
}

/** Sends them all, then looks at what arrived. */
export async function attackWith(
  attacks: readonly Attack[],
  target: Target,
  upstream: Upstream,
): Promise<Tally> {
  const isOurs = target.restart === undefined
  const findings: Finding[] = []
  const answers: Record<string, number> = {}
  const before = (await target.letThrough()) ?? 0
  const waiting = attacks.values()
  let restarting: Promise<void> | undefined
  /** The others are started again when they have died, to see what else they fall to. */
  const revive = async (culprit: string) => {
    if (isOurs || (await target.isAlive())) return
    if (restarting !== undefined) return
    findings.push({ harm: 'crash', what: culprit })
    restarting ??= target.restart().finally(() => {
      restarting = undefined
    })
  }
  const worker = async () => {
    for (const attack of waiting) {
      const { ended, text } = await send(target.port, attack, PATIENCE_MS[upstream.kind])
      const [, status = 'none'] = /^HTTP\/1\.1 (?:100[^]*?HTTP\/1\.1 )?(\d{3})/.exec(text) ?? []
      answers[status] = (answers[status] ?? 0) + 1
      const what = `${attack.family}: ${attack.name}`
      if (!ended) findings.push({ harm: 'hang', what })
      if (text === '' && restarting === undefined) await revive(what)
      await restarting
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const isAlive = await target.isAlive().catch(() => false)
  if (!isAlive) findings.push({ harm: 'crash', what: attacks[0]?.family ?? '' })
  if (!(await settles(upstream, isOurs ? END_MS : OTHERS_END_MS)) && isOurs) {
    findings.push({ harm: 'hang', what: `an unfinished request was left with ${upstream.kind}` })
  }
  const framed = upstream.takeFramed().map(readingOf)
  const begun: Reading[] = []
  for (const rest of upstream.takeLeftovers()) {
    const beginning = beginningOf(rest)
    if (typeof beginning === 'object') begun.push(beginning)
    if (beginning !== 'unreadable') continue
    findings.push({ harm: 'unreadable', what: JSON.stringify(rest.slice(0, 160)) })
  }
  const readings = upstream.takeReadings()
  const look = (requests: readonly Reading[]) =>
    requests.flatMap(request => findingsIn(request, target.assertable))
  const [onTheWire, inTheApplication] = [look([...framed, ...begun]), look(readings)]
  findings.push(...(inTheApplication.length > onTheWire.length ? inTheApplication : onTheWire))
  const arrived = framed.length + begun.length
  const letThrough = isAlive ? await target.letThrough() : undefined
  if (letThrough !== undefined && arrived > letThrough - before) {
    const what = `${arrived} arrived, ${letThrough - before} were let through`
    findings.push({ harm: 'desynchronisation', what })
  }
  const mayBeRead = arrived + upstream.unread
  upstream.unread = Math.max(0, upstream.unread + framed.length - readings.length)
  if (readings.length > mayBeRead) {
    const what = `${upstream.kind} read ${readings.length} requests, ${mayBeRead} were sent`
    findings.push({ harm: 'desynchronisation', what })
  }
  return { sent: attacks.length, arrived, read: readings.length, answers, findings }
}

/**
 * Waits until nothing has arrived for a while, since applications say what they read a moment later,
 * and nobody is in the middle of a request whose client has left.
 */
async function settles(upstream: Upstream, patienceMs: number): Promise<boolean> {
  const deadline = Date.now() + patienceMs
  for (let last = -1; last !== upstream.bytes() || upstream.unfinished() > 0;) {
    if (Date.now() > deadline) return false
    last = upstream.bytes()
    await sleep(100)
  }
  return true
}
