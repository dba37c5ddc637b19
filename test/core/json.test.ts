import t from 'tap'
import { parseJson } from '../../src/core/json.ts'

t.test('a text that is JSON says what it says, and any other nothing', t => {
  const none = ['', ' ', '{', '{"a":1}x', '\ufeff{}', "{'a':1}", '01', 'undefined', 'NaN']
  const cases: readonly (readonly [text: string, value: unknown])[] = [
    ['{"a":[1,null]}', { a: [1, null] }],
    ['null', null],
    ['false', false],
    ['""', ''],
    ...none.map(text => [text, undefined] as const),
  ]
  for (const [text, value] of cases) t.strictSame(parseJson(text), value, JSON.stringify(text))
  t.end()
})

t.test('a fault of ours is thrown and not called a text that is no JSON', t => {
  const hostile = {
    toString() {
      throw new RangeError('ours')
    },
  }
  t.throws(() => parseJson(hostile as unknown as string), new RangeError('ours'))
  t.end()
})
