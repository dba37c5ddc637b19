import t from 'tap'
import type { Evidence } from '../../src/cli/evidence.ts'
import { shownCheck } from '../../src/cli/shown-check.ts'
import { loadConfig } from '../../src/config/config.ts'
import { rejected } from '../../src/core/verdict.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const EVIDENCE: Evidence = {
  config: loadConfig({ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }).config,
  ...{ now: 0, alb: undefined, access: undefined, identityHeader: undefined },
  ...{ albKeySource: '', accessKeySource: '' },
}

t.test('a check that failed says why, and what to change', t => {
  const refusal = rejected('signer_mismatch', { detail: 'the detail' })
  t.match(shownCheck({ check: 'alb_signer', fate: 'failed' }, refusal, EVIDENCE), {
    check: 'alb_signer',
    states: 'signer is our load balancer',
    fate: 'failed',
    variables: ['ALB_ARNS'],
    expected: `'${ARN}'`,
    found: 'nothing',
    reason: 'signer_mismatch',
    detail: 'the detail',
    advice: /^if that load balancer is yours/,
  })
  const bare = shownCheck(
    { check: 'alb_kid', fate: 'failed' },
    rejected('token_malformed'),
    EVIDENCE,
  )
  t.match(bare, { fate: 'failed', reason: 'token_malformed', variables: [] })
  for (const name of ['detail', 'advice']) t.notOk(name in bare, `without ${name}`)
  t.end()
})

t.test('a check that held says what was there, if it was asked for', t => {
  const refusal = rejected('not_allowed', { detail: 'of another check' })
  for (const [check, fate] of [
    ['alb_size', 'held'],
    ['alb_identity', 'unasked'],
    ['email_verified', 'unasked'],
  ] as const) {
    const shown = shownCheck({ check, fate: 'held' }, refusal, EVIDENCE)
    t.equal(shown.fate, fate, check)
    t.type(shown.found, 'string')
    for (const name of ['reason', 'detail', 'advice']) t.notOk(name in shown, `without ${name}`)
  }
  t.end()
})

t.test('a check that was not reached has nothing to show', t => {
  t.same(shownCheck({ check: 'alb_kid', fate: 'not reached' }, undefined, EVIDENCE), {
    ...{ check: 'alb_kid', states: 'kid is a UUID', fate: 'not reached', variables: [] },
  })
  t.end()
})
