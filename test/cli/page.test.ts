import t from 'tap'
import type { Evidence } from '../../src/cli/evidence.ts'
import { createPage } from '../../src/cli/page.ts'
import { createPaint } from '../../src/cli/paint.ts'
import { walk } from '../../src/cli/walk.ts'
import { loadConfig } from '../../src/config/config.ts'
import { rejected } from '../../src/core/verdict.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const EVIDENCE: Evidence = {
  config: loadConfig({ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }).config,
  ...{ now: 0, alb: undefined, access: undefined, identityHeader: undefined },
  ...{ albKeySource: '', accessKeySource: '' },
}

function write(act: (page: ReturnType<typeof createPage>) => unknown): string {
  let text = ''
  const print = (more: string) => {
    text += more
  }
  act(createPage(print, createPaint(false, {})))
  return text
}

t.test('what held, what failed and why, and what was not reached', t => {
  const refusal = rejected('signer_mismatch', { detail: 'the detail' })
  const text = write(page => {
    page.steps(walk('alb', 'alb_signer', true), refusal, EVIDENCE)
  })
  for (const line of [
    /^ {2}✓ at most 16 KiB +0 bytes$/m,
    /^ {2}✗ signer is our load balancer: signer_mismatch$/m,
    /^ {6}expected {2}'arn:/m,
    /^ {6}found {5}nothing$/m,
    /^ {6}said {6}the detail$/m,
    /^ {6}set by {4}ALB_ARNS$/m,
    /^ {6}advice {4}if that load balancer is yours/m,
    /^ {2}· client is ours +not reached$/m,
  ]) {
    t.match(text, line)
  }
  t.end()
})

t.test('what cannot be set says so, and what has no detail or advice has no line for it', t => {
  const text = write(page => {
    page.steps(walk('alb', 'alb_kid', true), rejected('token_malformed'), EVIDENCE)
  })
  t.match(text, /set by {4}nothing: it always holds$/m)
  t.notMatch(text, /said|advice/)
  t.end()
})

t.test('what nothing is configured for is not called good', t => {
  const text = write(page => {
    page.steps(walk('identity', undefined, true), undefined, EVIDENCE)
  })
  t.match(text, /^ {2}· the e-mail address is verified +not asked for$/m)
  t.match(text, /^ {2}✓ there is a user +nothing$/m)
  t.end()
})

t.test('what was not reached at all is one line', t => {
  const text = write(page => {
    page.steps(walk('identity', undefined, false), undefined, EVIDENCE)
  })
  t.equal(text, '  · not reached\n')
  t.end()
})

t.test('a refusal has its status, its reason and its meaning', t => {
  const text = write(page => {
    page.head('verdict', 'Head')
    page.verdict({ outcome: 'anonymous' })
    t.equal(page.refused(rejected('not_allowed')), 1)
  })
  t.match(text, /^\nHead\n {2}✗ 403 not_allowed: The user matches neither/)
  t.end()
})
