import t from 'tap'
import { EXIT, Usage } from '../../src/cli/terminal.ts'
import { HELP } from '../../src/cli/help.ts'

t.test('every exit code is in the help', t => {
  for (const code of Object.values(EXIT)) t.match(HELP, new RegExp(`^  ${code} +[a-z]`, 'm'))
  t.ok(new Usage('x') instanceof Error)
  t.end()
})
