import t from 'tap'
import { HELP } from '../../src/cli/help.ts'
import { EXIT } from '../../src/core/exit.ts'

t.test('every exit code is in the help', t => {
  for (const code of Object.values(EXIT)) t.match(HELP, new RegExp(`^  ${code} +[a-z]`, 'm'))
  t.end()
})
