import t from 'tap'
import { walk } from '../../src/cli/walk.ts'

const fates = (...walked: Parameters<typeof walk>) => walk(...walked).map(({ fate }) => fate)

t.test('what is before the failure held, what is after it was not asked', t => {
  t.same(fates('identity', 'groups', true), [
    ...['held', 'held', 'failed', 'not reached', 'not reached', 'not reached'],
  ])
  t.same(new Set(fates('identity', undefined, true)), new Set(['held']))
  t.same(new Set(fates('alb', 'groups', true)), new Set(['held']), 'a failure elsewhere')
  t.same(new Set(fates('identity', undefined, false)), new Set(['not reached']))
  t.equal(walk('alb', undefined, true)[0]?.check, 'alb_size')
  t.end()
})
