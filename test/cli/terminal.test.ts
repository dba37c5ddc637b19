import t from 'tap'
import { Usage } from '../../src/cli/terminal.ts'

t.test('what a command is told wrongly is an error of its own kind', t => {
  t.ok(new Usage('x') instanceof Error)
  t.end()
})
