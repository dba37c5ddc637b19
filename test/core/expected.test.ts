import t from 'tap'
import { expected } from '../../src/core/expected.ts'

t.test('an error of the kind that was expected is given back, any other is thrown on', t => {
  const cases: readonly { error: unknown; kind: ErrorConstructor; isExpected: boolean }[] = [
    { error: new SyntaxError('x'), kind: SyntaxError, isExpected: true },
    { error: new SyntaxError('x'), kind: Error, isExpected: true },
    { error: new TypeError('x'), kind: SyntaxError, isExpected: false },
    { error: 'x', kind: Error, isExpected: false },
    { error: undefined, kind: Error, isExpected: false },
  ]
  for (const { error, kind, isExpected } of cases) {
    const outcome = { thrown: false, value: undefined as unknown }
    try {
      outcome.value = expected(error, kind)
    } catch (thrown) {
      outcome.thrown = true
      outcome.value = thrown
    }
    t.same(outcome, { thrown: !isExpected, value: error })
  }
  t.end()
})
