/**
 * One target in front of one kind of application, and every family of attacks on it, one after the
 * other, as it is told while it runs.
 */
import type { Attack, Credentials } from './attack.ts'
import { corpora } from './corpora.ts'
import { createDice } from './dice.ts'
import { edges } from './edges.ts'
import { attackWith, type Tally } from './lane.ts'
import { mutations } from './mutations.ts'
import { names } from './names.ts'
import { obfuscations } from './obfuscations.ts'
import { startOther, type Other } from './others.ts'
import { pipelines } from './pipelines.ts'
import { startSidecar } from './target.ts'
import { startUpstream, type Kind } from './upstream.ts'

/** One attack in so many is meant for this kind: a process a request is slow. */
const SHARE: Record<Kind, number> = { recorder: 1, node: 1, tornado: 1, wsgiref: 2, php: 10 }

export interface Plan {
  readonly seed: number
  /** Of the corpora of others. */
  readonly folder: string
  /** Only these attacks, where it is given. */
  readonly family: string | undefined
  readonly say: (text: string) => void
}

export interface FamilyTally extends Tally {
  readonly target: string
  readonly kind: Kind
  readonly family: string
}

function attacksFor(credentials: Credentials, { seed, folder }: Plan): Attack[] {
  const dice = createDice(seed)
  return [
    ...corpora(folder, credentials),
    ...obfuscations(),
    ...edges(credentials),
    ...names(credentials, dice, 800),
    ...pipelines(credentials, dice, 600),
    ...mutations(credentials, dice, 1_500),
  ]
}

export async function runLane(
  kind: Kind,
  other: Other | undefined,
  plan: Plan,
): Promise<FamilyTally[]> {
  const { say } = plan
  const upstream = await startUpstream(kind)
  const target = await (other === undefined
    ? startSidecar(upstream.port)
    : startOther(other, upstream.port))
  const all = attacksFor(target, plan).filter(
    ({ family }, at) =>
      at % SHARE[kind] === 0 && (plan.family === undefined || family === plan.family),
  )
  const tallies: FamilyTally[] = []
  for (const family of new Set(all.map(each => each.family))) {
    const startedAt = performance.now()
    const attacks = all.filter(each => each.family === family)
    const tally = await attackWith(attacks, target, upstream)
    tallies.push({ ...tally, target: target.name, kind, family })
    const { sent, arrived, read, answers, findings } = tally
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0)
    const what = `${sent} sent, ${arrived} arrived, ${kind === 'recorder' ? arrived : read} read`
    const about = `${target.name} ${kind} ${family}`.padEnd(36)
    say(`${about} ${what}, ${findings.length} findings  [${seconds} s]`)
    const statuses = Object.entries(answers).map(([status, count]) => `${status} × ${count}`)
    say(`  first answers: ${statuses.join(', ')}`)
    for (const { harm, what: found } of findings.slice(0, 10)) say(`  ${harm}: ${found}`)
  }
  say(`${target.name} ${kind}: ${upstream.bytes()} bytes went over the wire`)
  await target.close()
  await upstream.close()
  return tallies
}
