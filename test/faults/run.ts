/**
 * `npm run test:faults`: what happens to requests when something else fails, on real processes and
 * sockets, against the built program. Each case prints its figures and the bounds they are held to;
 * exit 1 when one does not hold.
 *
 * `--short` for a few minutes in all; `--only NAME`, more than once if need be; `--write` refreshes
 * docs/reliability.md.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CASES } from './cases/index.ts'
import { writeDocument, type Measured } from './document.ts'
import { LANES, type FaultCase, type Figure } from './figures.ts'

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** How long a case that is over its time gets to stop what it has started. */
const CLEAN_UP_MS = 10_000

/** One case, whatever becomes of it. */
async function measure(row: FaultCase, isShort: boolean): Promise<Measured> {
  const form = isShort ? 'short' : 'full'
  const limit = row.limitSeconds[form]
  const startedAt = performance.now()
  const child = fork(fileURLToPath(new URL('case.js', import.meta.url)), [row.name, form])
  const stop = () => child.kill('SIGTERM')
  process.once('exit', stop)
  const state = { figures: failed(`did not end within ${limit} s, or broke`) }
  child.once('message', message => {
    state.figures = Array.isArray(message) ? (message as Figure[]) : failed('said something odd')
  })
  const timer = setTimeout(stop, limit * 1000)
  const lastTimer = setTimeout(() => child.kill('SIGKILL'), limit * 1000 + CLEAN_UP_MS)
  await once(child, 'exit')
  clearTimeout(timer)
  clearTimeout(lastTimer)
  process.off('exit', stop)
  const { figures } = state
  const seconds = (performance.now() - startedAt) / 1000
  report(row, figures, seconds)
  return { row, figures, seconds }
}

const failed = (measured: string): readonly Figure[] => [
  { what: 'ran to its end', measured, bound: 'yes', held: false },
]

function report(
  { name, figure, what }: FaultCase,
  figures: readonly Figure[],
  seconds: number,
): void {
  say(`\n${name} (${figure}): ${what}  [${seconds.toFixed(0)} s]`)
  for (const { what: about, measured, bound, held } of figures) {
    const mark = bound === '' ? '    ' : held ? 'ok  ' : 'MISS'
    say(`  ${mark} ${about}: ${measured}${bound === '' ? '' : `  (bound: ${bound})`}`)
  }
}

/** All lanes at once; in each, one case after the other. */
async function measureAll(rows: readonly FaultCase[], isShort: boolean): Promise<Measured[]> {
  const inLane = async (lane: FaultCase['lane']) => {
    const measured: Measured[] = []
    for (const row of rows.filter(each => each.lane === lane)) {
      measured.push(await measure(row, isShort))
    }
    return measured
  }
  const lanes = await Promise.all(LANES.map(inLane))
  const all = lanes.flat()
  return rows.flatMap(row => all.filter(each => each.row === row))
}

async function run(): Promise<boolean> {
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    options: { short: flag, write: flag, only: { type: 'string', multiple: true } },
  })
  const { only } = values
  const unknown = only?.filter(name => !CASES.some(row => row.name === name)) ?? []
  if (unknown.length > 0) {
    throw new Error(`no such case: ${unknown.join(', ')}; ${CASES.map(row => row.name).join(', ')}`)
  }
  if (values.write && only !== undefined) throw new Error('--write is of all cases, not of some')
  const rows = CASES.filter(row => only?.includes(row.name) ?? true)
  const measured = await measureAll(rows, values.short)
  const figures = measured.flatMap(row => row.figures).filter(({ bound }) => bound !== '')
  const missed = figures.filter(({ held }) => !held).length
  say(`\nNode ${process.version}: ${figures.length - missed} figures held, ${missed} missed`)
  if (values.write) {
    writeDocument(measured)
    say('written to docs/reliability.md')
  }
  return missed === 0
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))

try {
  process.exit((await run()) ? 0 : 1)
} catch (error) {
  if (!(error instanceof Error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
