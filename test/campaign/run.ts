/**
 * `npm run test:campaign`: some thirty thousand hostile connections against the built program, in front
 * of five kinds of application that say what they have read. Exit 1 when anything was found.
 *
 *   --seed N        the seed of an earlier run
 *   --only KIND     one kind of application: recorder, node, tornado, wsgiref, php
 *   --family NAME   one family of attacks
 *   --corpora DIR   where http11probe.json and llhttp-requests.json are; default ../shared/corpora
 *   --compare       against nginx, HAProxy and the obvious sidecar as well, in front of two kinds
 *   --write         puts what was found of them into docs/security-comparison.md
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { tableOf, writeDocument } from './document.ts'
import { runLane, type FamilyTally, type Plan } from './lanes.ts'
import { OTHERS } from './others.ts'
import { KINDS, type Kind } from './upstream.ts'
import { HARMS } from './verdict.ts'

/** Enough to see what is read differently. */
const COMPARED: readonly Kind[] = ['recorder', 'tornado']

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** The sidecar in front of all kinds at once. */
async function runCampaign(kinds: readonly Kind[], plan: Plan): Promise<FamilyTally[]> {
  const lanes = await Promise.all(kinds.map(kind => runLane(kind, undefined, plan)))
  return lanes.flat()
}

/** One target after the other, so that none is in the way of another. */
async function compare(kinds: readonly Kind[], plan: Plan): Promise<FamilyTally[]> {
  const tallies: FamilyTally[] = []
  for (const other of [undefined, ...OTHERS]) {
    const lanes = await Promise.all(kinds.map(kind => runLane(kind, other, plan)))
    tallies.push(...lanes.flat())
  }
  return tallies
}

async function run(): Promise<boolean> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    options: { seed: text, only: text, family: text, corpora: text, compare: flag, write: flag },
  })
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed)
  const plan = { seed, folder: values.corpora ?? '../shared/corpora', family: values.family, say }
  say(`Node ${process.version}, seed ${seed}`)
  const kinds = KINDS.filter(kind => values.only === undefined || kind === values.only)
  const tallies = values.compare ? await compare(COMPARED, plan) : await runCampaign(kinds, plan)
  if (values.compare) say(tableOf(tallies))
  if (values.write) writeDocument(tallies, seed)

  const [ours] = tallies.map(each => each.target)
  const own = tallies.filter(each => each.target === ours)
  const findings = own.flatMap(each => each.findings)
  const sent = own.reduce((total, each) => total + each.sent, 0)
  const counts = HARMS.map(harm => `${harm}: ${findings.filter(each => each.harm === harm).length}`)
  say(`${ours ?? ''}: ${sent} connections; ${counts.join(', ')}`)
  return findings.length === 0 && sent > 0
}

// What was started ends with us.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))

process.exitCode = (await run()) ? 0 : 1
