/**
 * Writes what was measured into docs/reliability.md: one block a major version of Node, between its
 * markers, the rest of the document untouched.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import type { FaultCase, Figure } from './figures.ts'

export interface Measured {
  readonly row: FaultCase
  readonly figures: readonly Figure[]
  readonly seconds: number
}

const FILE = 'docs/reliability.md'

/** @throws When the document has no place for this version of Node. */
export function writeDocument(measured: readonly Measured[]): void {
  const [major = ''] = process.version.split('.', 1)
  const begin = `<!-- measured on ${major}: written by npm run test:faults -- --write -->`
  const end = `<!-- end of ${major} -->`
  const text = readFileSync(FILE, 'utf8')
  const from = text.indexOf(begin) + begin.length
  const to = text.indexOf(end)
  if (from < begin.length || to < from) throw new Error(`${FILE} has no place for Node ${major}`)
  writeFileSync(FILE, `${text.slice(0, from)}\n\n${blockOf(measured)}\n\n${text.slice(to)}`)
}

function blockOf(measured: readonly Measured[]): string {
  const rows = measured.flatMap(({ row, figures }) => [
    [`**${row.what}** (${row.figure}, \`${row.name}\`)`, '', '', ''],
    ...figures.map(({ what, measured: value, bound, held }) => [
      ...[what, value, bound],
      bound === '' ? '' : held ? 'held' : '**MISSED**',
    ]),
  ])
  const command = ['npm run test:faults --', ...process.argv.slice(2)].join(' ')
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Linux ${release()}`
  const load = loadavg()[1]?.toFixed(1) ?? ''
  return [
    `\`${command}\`, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${machine}, load average ${load}.`,
    '',
    table(['what', 'measured', 'bound', ''], rows),
  ].join('\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [head, head.map(() => '---'), ...rows].map(line).join('\n')
}
