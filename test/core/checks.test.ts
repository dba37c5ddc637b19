import t from 'tap'
import { CHECKS, CHECK_NAMES } from '../../src/core/checks.ts'
import { SETTINGS } from '../../src/config/settings.ts'

t.test('the names are the rows, in their order', t => {
  t.same(CHECK_NAMES, Object.keys(CHECKS))
  t.equal(new Set(CHECK_NAMES).size, CHECK_NAMES.length)
  t.end()
})

t.test('the tokens come before what they say, and the ALB before the access token', t => {
  const subjects = CHECK_NAMES.map(name => CHECKS[name].of)
  t.same([...new Set(subjects)], ['alb', 'access_token', 'identity'])
  t.same([...subjects].sort(by), subjects, 'each together')
  t.end()

  function by(a: string, b: string): number {
    const order = ['alb', 'access_token', 'identity']
    return order.indexOf(a) - order.indexOf(b)
  }
})

t.test('what governs a check can be set', t => {
  const settings = new Set<string>(Object.values(SETTINGS).map(({ variable }) => variable))
  for (const name of CHECK_NAMES) {
    t.notMatch(CHECKS[name].states, /[.]$/, name)
    for (const variable of CHECKS[name].variables) t.ok(settings.has(variable), variable)
  }
  t.end()
})
