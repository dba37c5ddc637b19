import t from 'tap'
import { SILENT } from '../../src/cli/silent.ts'

t.test('a command tells nobody', t => {
  t.doesNotThrow(() => {
    SILENT.keyLookup('alb', 'hit')
  })
  t.end()
})
