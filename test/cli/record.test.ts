import t from 'tap'
import type { Evidence } from '../../src/cli/evidence.ts'
import { createRecord } from '../../src/cli/record.ts'
import { walk } from '../../src/cli/walk.ts'
import { loadConfig } from '../../src/config/config.ts'
import { rejected } from '../../src/core/verdict.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const EVIDENCE: Evidence = {
  config: loadConfig({ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }).config,
  ...{ now: 0, alb: undefined, access: undefined, identityHeader: undefined },
  ...{ albKeySource: '', accessKeySource: '' },
}

t.test('notes and checks belong to the part before them', t => {
  const record = createRecord()
  record.say('  on two\n      lines ')
  record.head('request', 'any text')
  record.mark('good', 'a')
  record.mark('note', 'b')
  record.head('alb', 'any text')
  const refusal = rejected('signer_mismatch', { source: 'alb', detail: 'why' })
  record.steps(walk('alb', 'alb_signer', true), refusal, EVIDENCE)
  t.equal(record.refused(refusal), 1)
  const { notes, parts, verdict } = record.explanation()
  t.same(notes, ['on two lines'])
  t.match(parts, [
    {
      part: 'request',
      notes: [
        { mark: 'good', text: 'a' },
        { mark: 'note', text: 'b' },
      ],
      checks: [],
    },
    { part: 'alb', notes: [] },
  ])
  t.same(parts[1]?.checks.map(({ check, fate }) => `${check} ${fate}`).slice(2, 6), [
    'alb_algorithm held',
    'alb_signer failed',
    'alb_client not reached',
    'alb_issuer not reached',
  ])
  t.same(verdict, {
    ...{ outcome: 'rejected', status: 401, reason: 'signer_mismatch' },
    ...{ source: 'alb', detail: 'why' },
  })
  t.end()
})

t.test('what belongs to no part is left out, and so is what was not decided', t => {
  const record = createRecord()
  record.mark('good', 'a')
  record.steps(walk('alb', undefined, true), undefined, EVIDENCE)
  t.same(record.explanation(), { notes: [], parts: [] })
  record.refused(rejected('token_missing'))
  t.same(record.explanation().verdict, {
    ...{ outcome: 'rejected', status: 401, reason: 'token_missing' },
  })
  record.verdict({ outcome: 'valid' })
  t.same(record.explanation().verdict, { outcome: 'valid' })
  t.end()
})
