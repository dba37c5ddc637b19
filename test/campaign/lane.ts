/**
 * One target with one application behind it, and every attack that is meant for it, family by family.
 */
import type { Attack } from './attack.ts'
import { send } from './client.ts'
import type { Target } from './target.ts'
import type { Upstream } from './upstream.ts'
import { findingsIn, isBeginning, readingOf, type Finding } from './verdict.ts'

/** Connections at once. */
const AT_ONCE = 12

export interface Tally {
  sent: number
  arrived: number
  read: number
  readonly findings: Finding[]
}

/** Sends them all, then looks at what arrived. */
export async function attackWith(
  attacks: readonly Attack[],
  target: Target,
  upstream: Upstream,
): Promise<Tally> {
  const findings: Finding[] = []
  const before = (await target.letThrough()) ?? 0
  const waiting = attacks.values()
  const worker = async () => {
    for (const attack of waiting) {
      const { ended } = await send(target.port, attack)
      if (!ended) findings.push({ harm: 'hang', what: `${attack.family}: ${attack.name}` })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const isAlive = await target.isAlive().catch(() => false)
  if (!isAlive) findings.push({ harm: 'crash', what: `${attacks[0]?.family ?? ''}` })
  await settled(upstream)

  const framed = upstream.takeFramed().map(readingOf)
  const readings = upstream.takeReadings()
  for (const request of [...framed, ...readings]) {
    findings.push(...findingsIn(request, target.assertable))
  }
  const odd = upstream.takeLeftovers().filter(rest => !isBeginning(rest))
  for (const rest of odd) {
    findings.push({
      harm: 'desynchronisation',
      what: `unread: ${JSON.stringify(rest.slice(0, 160))}`,
    })
  }
  const letThrough = isAlive ? await target.letThrough() : undefined
  if (letThrough !== undefined && framed.length > letThrough - before) {
    const what = `${framed.length} arrived, ${letThrough - before} were let through`
    findings.push({ harm: 'desynchronisation', what })
  }
  if (upstream.kind !== 'recorder' && readings.length > framed.length) {
    const what = `${upstream.kind} read ${readings.length} requests, ${framed.length} were sent`
    findings.push({ harm: 'desynchronisation', what })
  }
  return { sent: attacks.length, arrived: framed.length, read: readings.length, findings }
}

/** Waits until nothing has arrived for a while: applications say what they read a moment later. */
async function settled(upstream: Upstream): Promise<void> {
  for (let last = -1; last !== upstream.bytes();) {
    last = upstream.bytes()
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}
