import { readFileSync } from 'node:fs'
import t from 'tap'
import { HELP } from '../../src/cli/help.ts'

t.test('the help fits a terminal, and the document has it as it is', t => {
  for (const line of HELP.split('\n')) t.ok(line.length <= 100, line)
  t.ok(readFileSync('docs/cli.md', 'utf8').includes(HELP))
  t.end()
})
