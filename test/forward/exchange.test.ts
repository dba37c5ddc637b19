/**
 * What is particular about one exchange; everything that an application or a client may do to it is in
 * forward.test.ts.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { failed } from '../../src/forward/exchange.ts'

t.test('a failure carries its reason for the metric and its detail for the log', async t => {
  t.same(failed('upstream_timeout', 'no answer'), {
    outcome: 'failed',
    reason: 'upstream_timeout',
    detail: 'no answer',
  })
  t.type(connect, 'function')
  t.type(once, 'function')
})
