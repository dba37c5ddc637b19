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

import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { BODY_BYTES, CASES } from './cases.ts'
import { CURVES, measureCurves } from './curves.ts'
import { type LimitPlan, type Measurement, MEASURES } from './limits.ts'
import { type Bench, type Plan, takeTurns } from './measure.ts'
import { createPeers, missingPeers } from './peers/peers.ts'
import { startUpstream } from './peers/upstream.ts'
import { draw } from './pictures.ts'
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
  ...{ rounds: 5, turnSeconds: 0.4, warmUp: { all: 20_000, ofThisKind: 3_000, seconds: 2 } },
  ...{ memorySeconds: 4, slopeRequests: 0 },
}
const FULL: WholePlan = {
  ...{ rounds: 9, turnSeconds: 1.5, warmUp: { all: 50_000, ofThisKind: 20_000, seconds: 8 } },
  ...{ memorySeconds: 20, slopeRequests: 1_000_000 },
}
const CURVE: Plan = {
  rounds: 3,
  turnSeconds: 1.5,
  warmUp: { all: 20_000, ofThisKind: 8_000, seconds: 3 },
}
const QUICK_CURVE: Plan = {
  rounds: 3,
  turnSeconds: 0.4,
  warmUp: { all: 12_000, ofThisKind: 3_000, seconds: 2 },
}
interface Options {
  readonly quick: boolean
  readonly write: boolean
}

type Wanted = (name: string) => boolean

interface Place {
  readonly world: World
  readonly bench: Bench
}

/** For the whole run; whatever hangs, this ends it and its children. */
const GIVE_UP_MS = 3_600_000

const COMMAND = ['npm run bench --', ...process.argv.slice(2)].join(' ')

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const elapsed = () => Math.round(performance.now() / 1_000)

async function measureAll({ world, bench }: Place, plan: WholePlan, isWanted: Wanted) {
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

async function measureCases(place: Place, isWanted: Wanted, options: Options) {
  const plan = options.quick ? QUICK : FULL
  const { results, measured } = await measureAll(place, plan, isWanted)
  const tables = [
    results.length > 0 ? casesTable(results) : '',
    measured.length > 0 ? limitsTable(measured) : '',
    machineTable(COMMAND, plan),
  ]
  const text = tables.filter(Boolean).join('\n\n')
  say(`\n${text}\n`)
  if (options.write) write('table', text)
  const { held, missed } = countBars(results, measured)
  say(`${held} bars held, ${missed} missed`)
  return missed === 0 ? 0 : 1
}

async function sweepCurves({ bench }: Place, isWanted: Wanted, options: Options) {
  const plan = options.quick ? QUICK_CURVE : CURVE
  const curves = await measureCurves(bench, plan, isWanted)
  const data = `${JSON.stringify({ command: COMMAND, node: process.version, curves }, null, 2)}\n`
  say(data)
  if (options.write) {
    mkdirSync(inRepository('docs/benchmarks'), { recursive: true })
    const files = { 'curves.json': data, 'curves.svg': draw(curves) }
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(inRepository(`docs/benchmarks/${name}`), text)
    }
    const picture = '![Cost and memory against load](benchmarks/curves.svg)'
    const links =
      'The same as [data](benchmarks/curves.json), with the lowest and highest of each point.'
    write('curves', `${picture}\n\n${links}\n\n${machineTable(COMMAND, plan)}`)
  }
  return 0
}

function write(section: string, text: string): void {
  const path = inRepository('docs/benchmarks.md')
  writeFileSync(path, replaceSection(path, section, text))
  say('written to docs/benchmarks.md\n')
}

/** @returns The exit code. */
async function run(): Promise<number> {
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    options: { quick: flag, write: flag, curves: flag, only: { type: 'string' } },
  })
  const absent = missingPeers()
  if (absent.length > 0)
    throw new Error(`missing, and nothing is installed here: ${absent.join(', ')}`)
  const { only, write, curves } = values
  const cases = [...CASES.map(({ name }) => name), ...Object.keys(MEASURES)]
  const names = curves ? CURVES : cases
  if (only !== undefined && !names.includes(only))
    throw new Error(`--only one of ${names.join(', ')}`)
  if (only !== undefined && write) throw new Error('--write needs all of it, without --only')
  const isWanted = (name: string) => only === undefined || name === only

  const place = createDirectory()
  const tokens = createTokens()
  const requests = createRequests(place.directory, tokens)
  // While both CPUs are ours: signing is most of what comes before the first turn.
  for (const { ours, rivals } of curves ? [] : CASES.filter(({ name }) => isWanted(name))) {
    for (const { request } of [ours, ...rivals]) await requests(request)
  }
  pinOurselves()
  const upstream = await startUpstream(place, BODY_BYTES)
  const world = { ...place, upstreamPort: upstream.port }
  const bench = { peers: createPeers(world), requests, tokens, say }
  const measure = curves ? sweepCurves : measureCases
  const code = await measure({ world, bench }, isWanted, values)
  await bench.peers.stop()
  await upstream.stop()
  return code
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
