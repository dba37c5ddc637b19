/**
 * Writes the figures into docs/mutation.md, between its markers, and looks up there which survivors are
 * explained.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

export interface FileScore {
  readonly file: string
  /** Faults that could be put into the file, and those that were. */
  readonly all: number
  readonly tried: number
  readonly killed: number
  /** As the document names them. */
  readonly survivors: readonly string[]
}

const FILE = 'docs/mutation.md'
const BEGIN = '<!-- mutation: written by npm run test:mutation -- --write -->'
const END = '<!-- end of mutation -->'

/** The survivors that the document does not explain. */
export function survivorsIn(scores: readonly FileScore[]): string[] {
  const text = readFileSync(FILE, 'utf8').replace(/\s+/g, ' ')
  return scores.flatMap(each => each.survivors).filter(each => !text.includes(each))
}

/** What was measured of each file the last time it was. */
const KEPT = '.demo/mutation.json'

/** Puts what was measured now beside what was measured of other files before. */
export function merged(scores: readonly FileScore[]): readonly FileScore[] {
  const before = existsSync(KEPT) ? (JSON.parse(readFileSync(KEPT, 'utf8')) as FileScore[]) : []
  const all = new Map([...before, ...scores].map(each => [each.file, each]))
  const list = [...all.values()]
  writeFileSync(KEPT, JSON.stringify(list))
  return list
}

/** @throws When the document has no place for them. */
export function writeDocument(scores: readonly FileScore[]): void {
  const text = readFileSync(FILE, 'utf8')
  const from = text.indexOf(BEGIN) + BEGIN.length
  const to = text.indexOf(END)
  if (from < BEGIN.length || to < from) throw new Error(`${FILE} has no place for the figures`)
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const head = ['file', 'faults', 'tried', 'killed']
  const rows = scores.map(({ file, all, tried, killed }) => [file, all, tried, killed].map(String))
  const sum = (of: (each: FileScore) => number) =>
    scores.reduce((total, each) => total + of(each), 0)
  const totals = ['all', ...[sum(s => s.all), sum(s => s.tried), sum(s => s.killed)].map(String)]
  const table = [head, head.map(() => '---'), ...rows, totals].map(line).join('\n')
  const day = new Date().toISOString().slice(0, 10)
  const share = ((sum(s => s.killed) / sum(s => s.tried)) * 100).toFixed(1)
  const about = `${day}, Node ${process.version}: ${share} % of what was tried was noticed.`
  writeFileSync(FILE, `${text.slice(0, from)}\n\n${about}\n\n${table}\n\n${text.slice(to)}`)
}
