/**
 * Writes what the comparison found into docs/security-comparison.md, between its markers.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { FamilyTally } from './lanes.ts'
import { HARMS } from './verdict.ts'

const FILE = 'docs/security-comparison.md'
const BEGIN = '<!-- comparison: written by npm run test:campaign -- --compare --write -->'
const END = '<!-- end of comparison -->'

/** A row a family and target, a column a harm. */
export function tableOf(tallies: readonly FamilyTally[]): string {
  const families = [...new Set(tallies.map(each => each.family))]
  const targets = [...new Set(tallies.map(each => each.target))]
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const cell = (target: string, family: string) => {
    const ours = tallies.filter(each => each.target === target && each.family === family)
    const findings = ours.flatMap(each => each.findings)
    const counts = HARMS.map(harm => ({
      harm,
      count: findings.filter(each => each.harm === harm).length,
    })).filter(({ count }) => count > 0)
    return counts.map(({ harm, count }) => `${count} ${harm}`).join(', ') || '0'
  }
  const rows = families.map(family => {
    const sent = tallies.filter(each => each.family === family && each.target === targets[0])
    const connections = sent.reduce((total, each) => total + each.sent, 0)
    return [family, String(connections), ...targets.map(target => cell(target, family))]
  })
  const head = ['attacks', 'connections', ...targets]
  return [head, head.map(() => '---'), ...rows].map(line).join('\n')
}

/** @throws When the document has no place for it. */
export function writeDocument(tallies: readonly FamilyTally[], seed: number): void {
  const text = readFileSync(FILE, 'utf8')
  const from = text.indexOf(BEGIN) + BEGIN.length
  const to = text.indexOf(END)
  if (from < BEGIN.length || to < from) throw new Error(`${FILE} has no place for the comparison`)
  const day = new Date().toISOString().slice(0, 10)
  const kinds = [...new Set(tallies.map(each => each.kind))].join(' and ')
  const about = `${day}, Node ${process.version}, seed ${seed}, in front of ${kinds}.`
  writeFileSync(
    FILE,
    `${text.slice(0, from)}\n\n${about}\n\n${tableOf(tallies)}\n\n${text.slice(to)}`,
  )
}
