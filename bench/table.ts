/** Results as tables in Markdown, and as a count of bars. */

import { readFileSync } from 'node:fs'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpus, loadavg, release } from 'node:os'
import type { Case } from './cases.ts'
import { type Measurement, node24 } from './limits.ts'
import { CONNECTIONS, type Plan } from './measure.ts'
import { versionsFrom } from './peers/peers.ts'
import { PROXY_CPU, LOAD_CPU } from './processes.ts'
import { median, quantile, ratios } from './statistics.ts'
import { imageFlags } from './world.ts'

/** A case and what it cost: ours first, then the rivals in their order. */
export interface Result {
  readonly of: Case
  readonly costs: readonly (readonly number[])[]
}

/** One comparison: a line of the table. */
interface Line {
  readonly who: string
  readonly cost: readonly number[]
  /** Ours to this one. */
  readonly ratio?: readonly number[]
  readonly bar?: number
  readonly stretch?: number
}

function linesOf({ of: { ours, rivals, expected }, costs }: Result): readonly Line[] {
  const [cost = [], ...others] = costs
  const lines = rivals.map((rival, i) => {
    const theirs = others[i] ?? []
    return { ...rival, cost: theirs, ratio: ratios(cost, theirs) }
  })
  const predicted =
    expected && cost.map((_, round) => expected.from(others.map(o => o[round] ?? NaN)))
  const line = predicted && { ...expected, cost: predicted, ratio: ratios(cost, predicted) }
  return [{ who: ours.who, cost }, ...lines, ...(line ? [line] : [])]
}

const spread = (values: readonly number[], digits: number): readonly string[] => {
  const [low, p25, middle, high] = [0, 0.25, 0.5, 1].map(q => quantile(values, q).toFixed(digits))
  return [middle ?? '', p25 ?? '', `${low}–${high}`]
}

const verdict = (values: readonly number[], bar: number): string =>
  median(values) <= bar ? 'held' : 'MISSED'

function judgement({ ratio = [], bar, stretch }: Line): string {
  const bars = bar === undefined ? [] : [`≤ ${bar.toFixed(2)} ${verdict(ratio, bar)}`]
  if (stretch === undefined) return bars.join('')
  return [...bars, `stretch ${stretch.toFixed(2)} ${verdict(ratio, stretch).toLowerCase()}`].join(
    '; ',
  )
}

const markdown = (rows: readonly (readonly string[])[]): string =>
  rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')

export function casesTable(results: readonly Result[]): string {
  const head = ['case', 'who', 'µs', 'p25', 'low–high', 'ours to it', 'p25', 'low–high', 'bar']
  const rows = results.flatMap(result =>
    linesOf(result).map((line, i) => [
      i === 0 ? `**${result.of.name}**: ${result.of.what}` : '',
      line.who,
      ...spread(line.cost, 1),
      ...(line.ratio === undefined ? ['', '', ''] : spread(line.ratio, 2)),
      judgement(line),
    ]),
  )
  return markdown([head, head.map(() => '---'), ...rows])
}

export function limitsTable(measured: readonly Measurement[]): string {
  const head = ['limit', 'median', 'p25', 'low–high', 'bar']
  const rows = measured.map(({ name, what, unit, bar, values }) => [
    `**${name}**: ${what}`,
    ...spread(values, unit === 'times' ? 2 : 1),
    `≤ ${bar} ${unit} ${verdict(values, bar)}`,
  ])
  return markdown([head, head.map(() => '---'), ...rows])
}

/** How many bars there are, by whether they hold; stretches do not count. */
export function countBars(results: readonly Result[], measured: readonly Measurement[]) {
  const lines = results
    .flatMap(linesOf)
    .flatMap(({ ratio = [], bar }) => (bar === undefined ? [] : [verdict(ratio, bar)]))
  const all = [...lines, ...measured.map(({ values, bar }) => verdict(values, bar))]
  const held = all.filter(word => word === 'held').length
  return { held, missed: all.length - held }
}

const firstLine = (command: string, ...args: readonly string[]): string =>
  execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0] ?? ''

export function machineTable(command: string, { rounds, turnSeconds }: Plan): string {
  const other = node24()
  // nginx says it where errors are said.
  const nginx = spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr
  const peers = [firstLine('haproxy', '-v'), nginx].map(text => /\d+\.\d+\.\d+\S*/.exec(text)?.[0])
  return markdown([
    ['', ''],
    ['---', '---'],
    ['written by', `\`${command}\`, ${new Date().toISOString().slice(0, 10)}`],
    [
      'machine',
      `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Linux ${release()}, load average ${loadavg()[0]?.toFixed(1) ?? ''}`,
    ],
    ['Node', [process.version, other && firstLine(other, '--version')].filter(Boolean).join(', ')],
    ['flags of the image', imageFlags().join(' ') || 'none'],
    [
      'peers',
      [
        `haproxy ${peers[0] ?? ''}`,
        `nginx ${peers[1] ?? ''}`,
        ...versionsFrom(['http-proxy', 'jose', 'undici']),
      ].join(', '),
    ],
    ['pinned', `proxies to CPU ${PROXY_CPU}; wrk and the application (nginx) to CPU ${LOAD_CPU}`],
    [
      'turns',
      `${rounds} rounds of ${turnSeconds} s a case and contender, ${CONNECTIONS} kept-alive connections (8 for bodies of 1 MB)`,
    ],
  ])
}

/** The part of a document between two markers is ours to write. */
export function replaceSection(path: string, name: string, text: string): string {
  const document = readFileSync(path, 'utf8')
  const [start, end] = [`<!-- ${name}: written by npm run bench -->`, `<!-- end of ${name} -->`]
  const [from, to] = [document.indexOf(start), document.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${path} has no section ${name}`)
  return `${document.slice(0, from + start.length)}\n\n${text}\n\n${document.slice(to)}`
}
