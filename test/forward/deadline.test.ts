import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createDeadline } from '../../src/forward/deadline.ts'

t.test('a time limit expires once', async t => {
  let expired = 0
  await new Promise<void>(resolve => {
    createDeadline(20, () => {
      expired++
      resolve()
    })
  })
  await delay(60)
  t.equal(expired, 1)
})

t.test('progress pushes it back', async t => {
  let expired = 0
  const deadline = createDeadline(500, () => expired++)
  for (let at = 0; at < 8; at++) {
    await delay(100)
    deadline.extend()
  }
  t.equal(expired, 0, 'not within its time since the last progress')
  deadline.clear()
})

t.test('one that was cleared never expires', async t => {
  let expired = 0
  const deadline = createDeadline(20, () => expired++)
  deadline.clear()
  await delay(60)
  t.equal(expired, 0)
})

t.test('0 is no limit at all', async t => {
  let expired = 0
  const deadline = createDeadline(0, () => expired++)
  deadline.extend()
  await delay(20)
  deadline.clear()
  t.equal(expired, 0)
})
