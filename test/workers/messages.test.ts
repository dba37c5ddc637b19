import t from 'tap'
import { isOrder, isWord } from '../../src/workers/messages.ts'

t.test('orders and words are told from each other and from anything else', t => {
  const cases: { message: unknown; order?: boolean; word?: boolean }[] = [
    { message: { order: 'drain', delayMs: 0 }, order: true },
    { message: { word: 'hello' }, word: true },
    { message: {} },
    { message: null },
    { message: undefined },
    { message: 'order' },
    { message: 1 },
    { message: ['word'] },
  ]
  for (const { message, order = false, word = false } of cases) {
    t.equal(isOrder(message), order, `${JSON.stringify(message)} as an order`)
    t.equal(isWord(message), word, `${JSON.stringify(message)} as a word`)
  }
  t.end()
})
