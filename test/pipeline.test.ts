import { once } from 'node:events'
import http from 'node:http'
import t, { type Test } from 'tap'
import type { ReceivedHeaders, ScrubbedHeaders, UpstreamHeaders } from '../src/core/headers.ts'
import { REASONS, type Reason } from '../src/core/reasons.ts'
import type { Settled } from '../src/core/settled.ts'
import { rejected } from '../src/core/verdict.ts'
import type { Forwarded, Outgoing } from '../src/forward/forward.ts'
import { createPipeline, decide, type Steps } from '../src/pipeline.ts'
import { refusalFor, sendReply } from '../src/server/refuse.ts'
import { createSession } from '../src/session/session.ts'
import { lines, sendRaw } from './fixtures/raw.ts'

const ALICE = { subject: 's-1', user: 'alice', groups: ['ops'], expiresAt: 1_800_000_000 }
const ASSERTION = ['X-Forwarded-User', 'alice']
const ID = '1-67891233-abcdef012345678912345678'

const OPEN = { kind: 'open', rule: '/open/*' } as const
const GUARDED = { kind: 'guarded' } as const
const VERIFIED = {
  outcome: 'verified',
  subject: 's-1',
  albClaims: { sub: 's-1' },
  expiresAt: 1_800_000_000,
  verifiedHeaders: ['x-amzn-oidc-data'],
} as const

/** Steps of which each does the simplest thing: a verified user on a guarded path, answered 200. */
const STEPS: Steps = {
  admit: ({ method, target, headers }) => ({
    outcome: 'admitted',
    method,
    target,
    headers: headers as ReceivedHeaders,
    body: { kind: 'none' },
    expectsContinue: false,
    hasHost: true,
    asksUpgrade: false,
  }),
  decideRoute: () => GUARDED,
  scrub: () => ({
    headers: ['Kept', '1'] as readonly string[] as ScrubbedHeaders,
    stripped: { listed: 1 },
    claimed: 2,
  }),
  verify: () => Promise.resolve(VERIFIED),
  normalize: () => ALICE,
  inject: {
    assert: () => ASSERTION,
    finish: (scrubbed, _received, vouched) =>
      [...scrubbed, ...(vouched?.assertion ?? [])] as readonly string[] as UpstreamHeaders,
  },
  unauthenticated: 'deny',
  enforcement: 'enforce',
  session: createSession({
    sessionCookie: 'AWSELBAuthSessionCookie',
    signOutPath: '/sign-out',
    signOutRedirectUrl: 'https://idp.example/logout',
    whoamiPath: '/whoami',
    renewsAccessToken: true,
  }),
  forward: ({ response }) => {
    response.end('ok')
    return Promise.resolve({ outcome: 'sent', status: 200 })
  },
  refusalFor,
  sendReply,
  requestId: () => ID,
  isClosing: () => false,
  begin: () => () => undefined,
  clock: { wallSeconds: () => 0, monotonicMs: () => 0 },
}

/** What becomes of a request's token, as the steps that look at it would say. */
const CLAIMS = {
  'a valid token': {},
  'no token': { verify: () => Promise.resolve('absent') },
  'an invalid token': { verify: () => Promise.resolve(refused('signature_invalid')) },
  'a token whose key cannot be had': { verify: () => Promise.resolve(refused('key_unavailable')) },
  'a user who is not allowed': { normalize: () => refused('not_allowed') },
  'more groups than fit': {
    inject: { ...STEPS.inject, assert: () => refused('groups_too_large') },
  },
} as const satisfies Record<string, Partial<Steps>>

const refused = (reason: Reason) => rejected(reason, { source: 'alb' })

const REQUEST = { httpVersion: '1.1', method: 'GET', target: '/a?b', headers: ['Host', 'a'] }

t.test('what is decided is the table of SPEC §7', async t => {
  const guarded = {
    'a valid token': 'authenticated',
    'no token': 'token_missing',
    'an invalid token': 'signature_invalid',
    'a token whose key cannot be had': 'key_unavailable',
    'a user who is not allowed': 'not_allowed',
    'more groups than fit': 'groups_too_large',
  }
  const open = {
    'a valid token': 'authenticated',
    'no token': 'anonymous',
    'an invalid token': 'anonymous, signature_invalid ignored',
    'a token whose key cannot be had': 'anonymous, key_unavailable ignored',
    'a user who is not allowed': 'anonymous, not_allowed ignored',
    'more groups than fit': 'anonymous, groups_too_large ignored',
  }
  const cases: readonly {
    route: typeof OPEN | typeof GUARDED
    unauthenticated: 'deny' | 'allow'
    verdicts: Record<keyof typeof CLAIMS, string>
  }[] = [
    { route: GUARDED, unauthenticated: 'deny', verdicts: guarded },
    {
      route: GUARDED,
      unauthenticated: 'allow',
      verdicts: {
        ...guarded,
        'no token': 'anonymous',
        'an invalid token': 'anonymous, signature_invalid ignored',
      },
    },
    { route: OPEN, unauthenticated: 'deny', verdicts: open },
    { route: OPEN, unauthenticated: 'allow', verdicts: open },
  ]
  for (const { route, unauthenticated, verdicts } of cases) {
    for (const [claim, steps] of Object.entries(CLAIMS)) {
      const decision = await decide(REQUEST, {
        ...STEPS,
        ...steps,
        decideRoute: () => route,
        unauthenticated,
      })
      const { verdict } = decision
      const reason = 'ignored' in decision ? decision.ignored?.reason : undefined
      const ignored = reason === undefined ? '' : `, ${reason} ignored`
      const found = verdict.outcome === 'rejected' ? verdict.reason : verdict.outcome + ignored
      const what = `${route.kind}, UNAUTHENTICATED=${unauthenticated}, ${claim}`
      t.equal(found, verdicts[claim as keyof typeof CLAIMS], what)

      const isIdentified = found === 'authenticated'
      const headers = 'headers' in decision ? decision.headers : undefined
      const passed = ['Kept', '1', ...(isIdentified ? ASSERTION : [])]
      t.same(headers, verdict.outcome === 'rejected' ? undefined : passed, `${what}: what goes on`)
      t.same(
        decision.stripped,
        { listed: 1, ...(!isIdentified && { oidc: 2 }) },
        `${what}: the ALB's own headers count as stripped unless they were put back`,
      )
    }
  }
})

t.test('report mode refuses nobody for a token, says what it spared, and names nobody', async t => {
  const cases: Record<keyof typeof CLAIMS, string> = {
    'a valid token': 'authenticated',
    'no token': 'anonymous, token_missing spared',
    'an invalid token': 'anonymous, signature_invalid spared',
    'a token whose key cannot be had': 'anonymous, key_unavailable spared',
    'a user who is not allowed': 'anonymous, not_allowed spared',
    'more groups than fit': 'anonymous, groups_too_large spared',
  }
  for (const [claim, steps] of Object.entries(CLAIMS)) {
    const decision = await decide(REQUEST, { ...STEPS, ...steps, enforcement: 'report' })
    const reason = 'wouldReject' in decision ? decision.wouldReject?.reason : undefined
    const spared = reason === undefined ? '' : `, ${reason} spared`
    t.equal(decision.verdict.outcome + spared, cases[claim as keyof typeof CLAIMS], claim)
    const isIdentified = decision.verdict.outcome === 'authenticated'
    const passed = ['Kept', '1', ...(isIdentified ? ASSERTION : [])]
    t.same('headers' in decision && decision.headers, passed, `${claim}: what goes on`)
  }
  const malformed = rejected('malformed_request')
  const decision = await decide(REQUEST, {
    ...STEPS,
    enforcement: 'report',
    admit: () => malformed,
  })
  t.same(decision, { verdict: malformed }, 'a malformed request is refused all the same')
})

t.test('our own paths are answered here and never forwarded', async t => {
  const at = (target: string, steps: Partial<Steps> = {}) =>
    decide({ ...REQUEST, target }, { ...STEPS, ...steps })
  const absent: Partial<Steps> = { verify: () => 'absent' }

  const out = await at('/sign-out?x', absent)
  t.match(out, { verdict: { outcome: 'anonymous' }, reply: { status: 302 } })
  t.notOk('headers' in out, 'signing out is not forwarded')

  const who = await at('/whoami')
  t.match(who, { verdict: { outcome: 'authenticated' }, reply: { status: 200 } })
  t.notOk('headers' in who, 'whoami is not forwarded')
  const { user, groups } = ALICE
  t.match(JSON.parse('reply' in who ? who.reply.body : ''), { user, groups })

  for (const lenient of [
    { unauthenticated: 'allow' },
    { enforcement: 'report' },
    { decideRoute: () => OPEN },
  ] as const) {
    const nobody = await at('/whoami', { ...absent, ...lenient })
    t.match(nobody, { verdict: { reason: 'token_missing' } }, JSON.stringify(lenient))
    t.notOk('headers' in nobody, 'nobody is not forwarded')
  }
})

t.test('an expired navigation is sent to sign in again, and still counts as refused', async t => {
  const headers = ['Host', 'a', 'Sec-Fetch-Mode', 'navigate']
  const verify = () => refused('token_expired')
  const decision = await decide({ ...REQUEST, headers }, { ...STEPS, verify })
  t.match(decision, { verdict: { reason: 'token_expired' }, reply: { status: 302 } })
  const script = await decide(REQUEST, { ...STEPS, verify })
  t.notOk('reply' in script, 'a script is not')

  const { port, settled, forwarded } = await startRig(t, { verify })
  const navigation = lines('GET /a HTTP/1.1', 'Host: a', 'Accept: text/html', 'Connection: close')
  const { statuses } = await sendRaw(port, navigation)
  t.same(statuses, [302])
  t.same(forwarded, [])
  t.match(settled, [{ verdict: { reason: 'token_expired' }, status: 302 }])
})

t.test('what was tolerated is in the record', async t => {
  const ignored = refused('signature_invalid')
  const verify = () => ignored
  const open = await startRig(t, { verify, decideRoute: () => OPEN })
  await sendRaw(open.port, GET)
  t.match(open.settled, [{ verdict: { outcome: 'anonymous' }, ignored }])
  const reporting = await startRig(t, { verify, enforcement: 'report' })
  await sendRaw(reporting.port, GET)
  t.match(reporting.settled, [{ verdict: { outcome: 'anonymous' }, wouldReject: ignored }])
})

t.test('a step that refuses ends the decision; what it learned before is kept', async t => {
  const malformed = rejected('malformed_request')
  const cases: readonly { step: string; steps: Partial<Steps>; decision: object }[] = [
    { step: 'admit', steps: { admit: () => malformed }, decision: { verdict: malformed } },
    {
      step: 'scrub',
      steps: { scrub: () => malformed },
      decision: { verdict: malformed, route: GUARDED, admitted: { target: '/a?b' } },
    },
    {
      step: 'verify',
      steps: { verify: () => Promise.resolve(refused('token_expired')) },
      decision: { verdict: { reason: 'token_expired', source: 'alb' }, stripped: { oidc: 2 } },
    },
  ]
  for (const { step, steps, decision } of cases) {
    const never = () => t.fail(`a step behind ${step} was taken`)
    const found = await decide(REQUEST, {
      ...STEPS,
      ...(step === 'admit' && { decideRoute: () => (never(), GUARDED) }),
      ...(step !== 'verify' && { verify: () => (never(), Promise.resolve('absent')) }),
      inject: { ...STEPS.inject, finish: () => (never(), [] as unknown as UpstreamHeaders) },
      ...steps,
    })
    t.match(found, decision, step)
  }
})

t.test('each step is given what it is to work on, and no more', async t => {
  const given: Record<string, readonly unknown[]> = {}
  const spied = <A extends readonly unknown[], R>(name: string, step: (...args: A) => R) => {
    return (...args: A) => {
      given[name] = args
      return step(...args)
    }
  }
  await decide(REQUEST, {
    ...STEPS,
    admit: spied('admit', STEPS.admit),
    decideRoute: spied('decideRoute', STEPS.decideRoute),
    scrub: spied('scrub', STEPS.scrub),
    verify: spied('verify', STEPS.verify),
    normalize: spied('normalize', STEPS.normalize),
    inject: {
      assert: spied('assert', STEPS.inject.assert),
      finish: spied('finish', STEPS.inject.finish),
    },
  })
  const received = REQUEST.headers
  t.same(given, {
    admit: [REQUEST],
    decideRoute: ['GET', '/a?b'],
    scrub: [received, 'guarded'],
    verify: [received],
    normalize: [VERIFIED],
    assert: [ALICE],
    finish: [['Kept', '1'], received, { assertion: ASSERTION, verified: ['x-amzn-oidc-data'] }],
  })
})

interface Rig {
  readonly port: number
  readonly settled: readonly Settled[]
  /** What was handed to `forward`. */
  readonly forwarded: readonly Outgoing[]
}

async function startRig(t: Test, steps: Partial<Steps>): Promise<Rig> {
  const settled: Settled[] = []
  const forwarded: Outgoing[] = []
  const { forward } = { ...STEPS, ...steps }
  const handle = createPipeline({
    ...STEPS,
    ...steps,
    forward: outgoing => {
      forwarded.push(outgoing)
      return forward(outgoing)
    },
    begin: () => record => settled.push(record),
  })
  const server = http.createServer((request, response) => {
    void handle(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, settled, forwarded }
}

const GET = lines('GET /a/b?c=d HTTP/1.1', 'Host: a', 'Connection: close')

t.test('a step that throws is a 500 that is forwarded nowhere and settled once', async t => {
  const bug = new Error('a bug')
  const fail = () => {
    throw bug
  }
  const { inject } = STEPS
  const cases: Record<string, Partial<Steps>> = {
    admit: { admit: fail },
    decideRoute: { decideRoute: fail },
    scrub: { scrub: fail },
    verify: { verify: fail },
    'verify, later': { verify: () => Promise.reject(bug) },
    normalize: { normalize: fail },
    'inject.assert': { inject: { ...inject, assert: fail } },
    'inject.finish': { inject: { ...inject, finish: fail } },
    forward: { forward: fail },
    'forward, later': { forward: () => Promise.reject(bug) },
  }
  for (const [step, steps] of Object.entries(cases)) {
    for (const route of [GUARDED, OPEN]) {
      const { port, settled, forwarded } = await startRig(t, { decideRoute: () => route, ...steps })
      const { text, statuses } = await sendRaw(port, GET)
      const what = `${step} on ${route.kind}`
      t.same(statuses, [500], what)
      t.match(text, /\r\nContent-Type: application\/problem\+json\r\n/, what)
      t.notMatch(text, /a bug|internal_error/, `${what}: the client is not told`)
      t.equal(forwarded.length, step.startsWith('forward') ? 1 : 0, `${what}: forwarded nowhere`)
      const verdict = { outcome: 'rejected', reason: 'internal_error' }
      t.match(settled, [{ verdict, status: 500, fault: bug, cutShort: false }], what)
      t.equal(settled.length, 1, `${what}: settled once`)
    }
  }
})

t.test('a fault after the head of an answer breaks the connection', async t => {
  const { port, settled } = await startRig(t, {
    forward: ({ response }) => {
      response.writeHead(200, ['Content-Length', '10'])
      response.write('five ')
      return new Promise((_, reject) => setTimeout(reject, 20, new Error('a bug')))
    },
  })
  const { text, closed } = await sendRaw(port, GET, { answers: 2 })
  t.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nfive $/)
  t.ok(closed)
  t.match(settled, [{ verdict: { reason: 'internal_error' }, cutShort: true }])
  t.equal(settled.length, 1)
})

/** A record as one reads it: without what there is nothing to say about. */
function asWritten({ requestId, ...record }: Settled): object {
  const said = Object.entries(record).filter(([, value]) => value !== undefined)
  return Object.fromEntries([['requestId', requestId()], ...said])
}

t.test('a request is settled once, with what was found out about it', async t => {
  const bug = new Error('a bug')
  const time = { now: 1_000 }
  const clock = { wallSeconds: () => 0, monotonicMs: () => time.now }
  const after = <R>(ms: number, result: R) => {
    time.now += ms
    return result
  }
  const ended = (end: Forwarded): Partial<Steps> => ({
    forward: ({ response }) => {
      if (end.outcome === 'sent') response.writeHead(end.status).end('ok')
      else if (end.outcome !== 'failed') response.destroy()
      return Promise.resolve(after(250, end))
    },
  })
  const verify: Partial<Steps> = { verify: () => Promise.resolve(after(3, VERIFIED)) }
  const common = { requestId: ID, method: 'GET', totalSeconds: 0.253, decisionSeconds: 0.003 }
  const alice = { outcome: 'authenticated', identity: ALICE }
  const cases: readonly { request: string; steps: Partial<Steps>; record: object }[] = [
    {
      request: 'authenticated and answered',
      steps: ended({ outcome: 'sent', status: 404 }),
      record: {
        ...common,
        route: 'guarded',
        path: '/a/b',
        verdict: alice,
        stripped: { listed: 1 },
        status: 404,
        cutShort: false,
      },
    },
    {
      request: 'on an open path, its token not believed',
      steps: {
        ...ended({ outcome: 'sent', status: 200 }),
        decideRoute: () => OPEN,
        normalize: () => refused('not_allowed'),
      },
      record: {
        ...common,
        route: 'open',
        rule: '/open/*',
        verdict: { outcome: 'anonymous' },
        ignored: { outcome: 'rejected', reason: 'not_allowed', source: 'alb' },
        stripped: { listed: 1, oidc: 2 },
        status: 200,
        cutShort: false,
      },
    },
    {
      request: 'whose answer broke off',
      steps: ended({ outcome: 'broken_off', status: 206 }),
      record: {
        ...common,
        route: 'guarded',
        path: '/a/b',
        verdict: alice,
        stripped: { listed: 1 },
        status: 206,
        cutShort: true,
      },
    },
    {
      request: 'whose client left before there was an answer',
      steps: ended({ outcome: 'client_gone' }),
      record: {
        ...common,
        route: 'guarded',
        path: '/a/b',
        verdict: alice,
        stripped: { listed: 1 },
        cutShort: true,
      },
    },
    {
      request: 'that the application did not answer',
      steps: ended({ outcome: 'failed', reason: 'upstream_timeout', detail: 'too late' }),
      record: {
        ...common,
        route: 'guarded',
        path: '/a/b',
        verdict: { outcome: 'rejected', reason: 'upstream_timeout', detail: 'too late' },
        stripped: { listed: 1 },
        status: 504,
        cutShort: false,
      },
    },
    {
      request: 'that was refused for its token',
      steps: { normalize: () => refused('identity_missing') },
      record: {
        ...common,
        totalSeconds: 0.003,
        route: 'guarded',
        path: '/a/b',
        verdict: { outcome: 'rejected', reason: 'identity_missing', source: 'alb' },
        stripped: { listed: 1, oidc: 2 },
        status: 403,
        cutShort: false,
      },
    },
    {
      request: 'that was not admitted',
      steps: { admit: () => after(1, rejected('malformed_request', { detail: 'Host' })) },
      record: {
        ...common,
        totalSeconds: 0.001,
        decisionSeconds: 0.001,
        route: 'guarded',
        verdict: { outcome: 'rejected', reason: 'malformed_request', detail: 'Host' },
        stripped: {},
        status: 400,
        cutShort: false,
      },
    },
    {
      request: 'on which a step failed',
      steps: {
        decideRoute: () => {
          time.now += 2
          throw bug
        },
      },
      record: {
        ...common,
        totalSeconds: 0.002,
        decisionSeconds: 0.002,
        route: 'guarded',
        verdict: { outcome: 'rejected', reason: 'internal_error' },
        stripped: {},
        status: 500,
        cutShort: false,
        fault: bug,
      },
    },
  ]
  for (const { request, steps, record } of cases) {
    const { port, settled } = await startRig(t, { clock, ...verify, ...steps })
    const { statuses } = await sendRaw(port, GET)
    const status = 'status' in record ? record.status : undefined
    const answered = !('cutShort' in record && record.cutShort)
    t.same(statuses, answered ? [status] : [], request)
    t.same(settled.map(asWritten), [record], `${request}: its record`)
  }
})

t.test('what was decided is what is forwarded', async t => {
  const admitted = {
    method: 'PUT',
    target: '/as/judged',
    body: { kind: 'length', bytes: 4 },
    expectsContinue: true,
    hasHost: false,
  } as const
  const cases = [
    { leaving: false, asksUpgrade: false, isClosing: false },
    { leaving: true, asksUpgrade: false, isClosing: true },
    { leaving: false, asksUpgrade: true, isClosing: true },
  ]
  for (const { leaving, asksUpgrade, isClosing } of cases) {
    const { port, forwarded } = await startRig(t, {
      isClosing: () => leaving,
      admit: ({ headers }) => ({
        outcome: 'admitted',
        headers: headers as ReceivedHeaders,
        asksUpgrade,
        ...admitted,
      }),
    })
    await sendRaw(port, GET)
    const [{ request, response, isClosing: asked, ...outgoing } = {} as Outgoing] = forwarded
    t.same(outgoing, { ...admitted, headers: ['Kept', '1', ...ASSERTION] })
    t.ok(request instanceof http.IncomingMessage)
    t.ok(response instanceof http.ServerResponse)
    t.equal(asked(), isClosing, `leaving: ${String(leaving)}, Upgrade: ${String(asksUpgrade)}`)
  }
})

t.test('our own answer ends a connection that is in doubt, or when we leave', async t => {
  const ask = lines('GET / HTTP/1.1', 'Host: a')
  const cases: readonly {
    reason: Reason
    isClosing?: boolean
    asksUpgrade?: boolean
    closes: boolean
  }[] = [
    { reason: 'malformed_request', closes: true },
    { reason: 'duplicate_header', closes: true },
    { reason: 'method_refused', closes: true },
    { reason: 'expectation_refused', closes: true },
    { reason: 'headers_too_large', closes: true },
    { reason: 'token_missing', closes: false },
    { reason: 'not_allowed', closes: false },
    { reason: 'key_unavailable', closes: false },
    { reason: 'token_missing', isClosing: true, closes: true },
    { reason: 'not_allowed', asksUpgrade: true, closes: true },
  ]
  await Promise.all(
    cases.map(async ({ reason, isClosing = false, asksUpgrade = false, closes }) => {
      const { port } = await startRig(t, {
        admit: request => {
          const admitted = STEPS.admit(request)
          return admitted.outcome === 'admitted' ? { ...admitted, asksUpgrade } : admitted
        },
        scrub: () => rejected(reason),
        isClosing: () => isClosing,
      })
      const { text, statuses, closed } = await sendRaw(port, ask)
      t.same(statuses, [REASONS[reason].status], reason)
      t.equal(text.includes('\r\nConnection: close\r\n'), closes, `${reason}: says so`)
      t.equal(closed, closes, `${reason}: does so`)
      t.match(text, `\r\nX-Request-Id: ${ID}\r\n`, `${reason}: named as in the log`)
    }),
  )
})
