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

/** Node lets timers of one length expire in the order in which they were started, however late it is. */
t.test('progress pushes it back', async t => {
  const order: string[] = []
  await new Promise<void>(resolve => {
    const deadline = createDeadline(30, () => {
      order.push('the one that was pushed back')
      resolve()
    })
    const startAnother = (nth: number) => {
      createDeadline(30, () => {
        order.push(`another, ${nth}`)
        if (nth < 3) startAnother(nth + 1)
      })
      deadline.extend()
    }
    startAnother(1)
  })
  t.same(order, ['another, 1', 'another, 2', 'another, 3', 'the one that was pushed back'])
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
