import t from 'tap'
import { WAITING_BYTES } from '../../src/core/waiting.ts'
import { FULL_READ_BYTES } from '../../src/forward/answers.ts'

t.test('there is room for what is read at once, and for as much again', t => {
  t.equal(WAITING_BYTES, 2 * FULL_READ_BYTES)
  t.end()
})
