/** Whether a request has a body is what it declared, not what it sends. */
import t from 'tap'
import { isEmpty, type Body } from '../../src/core/body.ts'

t.test('a body is empty when not a byte of it is to come', t => {
  const cases: readonly { body: Body; empty: boolean; why: string }[] = [
    { body: { kind: 'none' }, empty: true, why: 'none was declared' },
    { body: { kind: 'length', bytes: 0 }, empty: true, why: 'none was declared, in so many words' },
    { body: { kind: 'length', bytes: 1 }, empty: false, why: 'one byte' },
    { body: { kind: 'length', bytes: 9_999_999_999_999_999 }, empty: false, why: 'a great many' },
    { body: { kind: 'chunked' }, empty: false, why: 'nobody knows yet how many' },
  ]
  for (const { body, empty, why } of cases) t.equal(isEmpty(body), empty, why)
  t.end()
})
