/**
 * `npm run test:campaign`: some thirty thousand hostile connections against the built program, in front
 * of five kinds of application that say what they have read.
 *
 *   --seed N        the seed of an earlier run
 *   --only KIND     one kind of application: recorder, node, tornado, wsgiref, php
 *   --family NAME   one family of attacks
 *   --corpora DIR   where http11probe.json and llhttp-requests.json are; default ../shared/corpora
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import type { Attack, Credentials } from './attack.ts'
import { corpora } from './corpora.ts'
import { createDice } from './dice.ts'
import { edges } from './edges.ts'
import { attackWith, type Tally } from './lane.ts'
import { mutations } from './mutations.ts'
import { names } from './names.ts'
import { obfuscations } from './obfuscations.ts'
import { pipelines } from './pipelines.ts'
import { startSidecar } from './target.ts'
import { KINDS, startUpstream, type Kind } from './upstream.ts'
import type { Harm } from './verdict.ts'

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** One attack in so many is meant for this kind: a process a request is slow. */
const SHARE: Record<Kind, number> = { recorder: 1, node: 1, tornado: 1, wsgiref: 2, php: 25 }
const HARMS: readonly Harm[] = ['bypass', 'desynchronisation', 'crash', 'hang']

function attacksFor(credentials: Credentials, seed: number, folder: string): Attack[] {
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

async function runLane(kind: Kind, seed: number, folder: string, only: string | undefined) {
  const upstream = await startUpstream(kind)
  const target = await startSidecar(upstream.port)
  const all = attacksFor(target, seed, folder).filter(
    ({ family }, at) => at % SHARE[kind] === 0 && (only === undefined || family === only),
  )
  const tallies: Tally[] = []
  for (const family of new Set(all.map(each => each.family))) {
    const startedAt = performance.now()
    const attacks = all.filter(each => each.family === family)
    const tally = await attackWith(attacks, target, upstream)
    tallies.push(tally)
    const { sent, arrived, read, findings } = tally
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0)
    const what = `${sent} sent, ${arrived} arrived, ${kind === 'recorder' ? arrived : read} read`
    say(
      `${kind.padEnd(9)} ${family.padEnd(12)} ${what}, ${findings.length} findings  [${seconds} s]`,
    )
    for (const { harm, what: found } of findings.slice(0, 10)) say(`  ${harm}: ${found}`)
  }
  say(`${kind.padEnd(9)} ${upstream.bytes()} bytes went over the wire`)
  await target.close()
  await upstream.close()
  return tallies
}

async function run(): Promise<boolean> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: { seed: text, only: text, family: text, corpora: text },
  })
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed)
  say(`Node ${process.version}, seed ${seed}`)
  const kinds = KINDS.filter(kind => values.only === undefined || kind === values.only)
  const folder = values.corpora ?? '../shared/corpora'
  const lanes = await Promise.all(kinds.map(kind => runLane(kind, seed, folder, values.family)))
  const tallies = lanes.flat()
  const findings = tallies.flatMap(each => each.findings)
  const sent = tallies.reduce((total, each) => total + each.sent, 0)
  const counts = HARMS.map(harm => `${harm}: ${findings.filter(each => each.harm === harm).length}`)
  say(`${sent} connections; ${counts.join(', ')}`)
  return findings.length === 0 && sent > 0
}

process.exitCode = (await run()) ? 0 : 1
