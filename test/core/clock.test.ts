/** One clock for claims, in seconds since the epoch; another for ages, which never goes back. */
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'

t.test('the wall clock counts seconds since the epoch, with fractions', t => {
  const before = Date.now()
  const seconds = systemClock.wallSeconds()
  const after = Date.now()
  t.ok(before / 1000 <= seconds && seconds <= after / 1000, 'between two readings in milliseconds')
  const readings = Array.from({ length: 50 }, () => {
    const until = performance.now() + 0.3
    while (performance.now() < until);
    return systemClock.wallSeconds()
  })
  t.ok(
    readings.some(reading => !Number.isInteger(reading)),
    'and is not rounded',
  )
  t.end()
})

t.test('the monotonic clock counts milliseconds and does not go back', async t => {
  const start = systemClock.monotonicMs()
  let last = start
  for (let reading = 0; reading < 1_000; reading++) {
    const now = systemClock.monotonicMs()
    if (now < last) t.fail(`from ${last} to ${now}`)
    last = now
  }
  await new Promise(resolve => setTimeout(resolve, 20))
  const passed = systemClock.monotonicMs() - start
  // A clock in seconds would read less than 1 here, one in microseconds more than a minute.
  t.ok(passed > 15 && passed < 20_000, `${passed} ms passed`)
})
