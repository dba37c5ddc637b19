/**
 * `npm run bench`: what a request costs the sidecar, and what the same request costs others, in CPU time
 * of the proxy's process. Throughput would measure the machine. Exits 1 when a bar is missed, an answer
 * is wrong, or a peer is missing: it installs nothing.
 *
 *   --quick        three minutes: shorter turns, no million requests
 *   --only NAME    one case or limit
 *   --curves       cost and memory against load instead of the cases
 *   --write        refreshes docs/benchmarks.md
 */

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { BODY_BYTES, CASES } from './cases.ts'
import { type LimitPlan, type Measurement, MEASURES } from './limits.ts'
import { type Bench, type Plan, takeTurns } from './measure.ts'
import { createPeers, missingPeers } from './peers/peers.ts'
import { startUpstream } from './peers/upstream.ts'
import { pinOurselves } from './processes.ts'
import { createRequests, createTokens } from './requests.ts'
import {
  type Result,
  casesTable,
  countBars,
  limitsTable,
  machineTable,
  replaceSection,
} from './table.ts'
import { type World, createDirectory, inRepository } from './world.ts'

type WholePlan = Plan & LimitPlan

const QUICK: WholePlan = {
  ...{ rounds: 5, turnSeconds: 0.4, warmUpRequests: 6_000 },
  ...{ memorySeconds: 4, slopeRequests: 0 },
}
const FULL: WholePlan = {
  ...{ rounds: 9, turnSeconds: 1.5, warmUpRequests: 20_000 },
  ...{ memorySeconds: 20, slopeRequests: 1_000_000 },
}
/** For the whole run; whatever hangs, this ends it and its children. */
const GIVE_UP_MS = 3_600_000

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const elapsed = () => Math.round(performance.now() / 1_000)

async function measureAll(
  world: World,
  bench: Bench,
  plan: WholePlan,
  isWanted: (name: string) => boolean,
) {
  const results: Result[] = []
  for (const row of CASES.filter(({ name }) => isWanted(name))) {
    const taken = await takeTurns(bench, [row.ours, ...row.rivals], plan, row.lookups)
    results.push({ of: row, costs: taken.map(({ cost }) => cost) })
    say(`${row.name} measured, ${elapsed()} s`)
  }
  const measured: Measurement[] = []
  for (const [name, measure] of Object.entries(MEASURES)) {
    if (!isWanted(name)) continue
    measured.push(...(await measure(world, bench, plan)))
    say(`${name} measured, ${elapsed()} s`)
  }
  return { results, measured }
}

async function run(): Promise<number> {
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    options: { quick: flag, write: flag, curves: flag, only: { type: 'string' } },
  })
  const absent = missingPeers()
  if (absent.length > 0)
    throw new Error(`missing, and nothing is installed here: ${absent.join(', ')}`)
  const { only } = values
  const names = [...CASES.map(({ name }) => name), ...Object.keys(MEASURES)]
  if (only !== undefined && !names.includes(only))
    throw new Error(`--only one of ${names.join(', ')}`)

  const plan = values.quick ? QUICK : FULL
  const place = createDirectory()
  const tokens = createTokens()
  const requests = createRequests(place.directory, tokens)
  const isWanted = (name: string) => only === undefined || name === only
  // While both CPUs are ours: signing is most of what comes before the first turn.
  for (const { ours, rivals } of CASES.filter(({ name }) => isWanted(name))) {
    for (const { request } of [ours, ...rivals]) await requests(request)
  }
  pinOurselves()
  const upstream = await startUpstream(place, BODY_BYTES)
  const world = { ...place, upstreamPort: upstream.port }
  const bench = { peers: createPeers(world), requests, tokens, say }
  const { results, measured } = await measureAll(world, bench, plan, isWanted)
  await bench.peers.stop()
  await upstream.stop()

  const command = ['npm run bench --', ...process.argv.slice(2)].join(' ')
  const tables = [
    results.length > 0 ? casesTable(results) : '',
    measured.length > 0 ? limitsTable(measured) : '',
    machineTable(command, plan),
  ].filter(Boolean)
  say(`\n${tables.join('\n\n')}\n`)
  if (values.write && only === undefined) {
    const path = inRepository('docs/benchmarks.md')
    writeFileSync(path, replaceSection(path, 'table', tables.join('\n\n')))
    say('written to docs/benchmarks.md\n')
  }
  const { held, missed } = countBars(results, measured)
  say(`${held} bars held, ${missed} missed`)
  return missed === 0 ? 0 : 1
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))
setTimeout(() => {
  process.stderr.write('the benchmark did not end in time\n')
  process.exit(1)
}, GIVE_UP_MS).unref()

try {
  process.exitCode = await run()
} catch (error) {
  if (!(error instanceof Error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
