import t from 'tap'
import type { Settled } from '../../src/core/settled.ts'
import { ANONYMOUS, rejected } from '../../src/core/verdict.ts'
import { createLog, type LogOptions } from '../../src/observe/log.ts'

const SUBJECT = '23d498b2-3031-70d2-8a15-49dd886a087b'
const ALICE: Settled['verdict'] = {
  outcome: 'authenticated',
  identity: {
    subject: SUBJECT,
    user: 'alice@example.com',
    email: 'alice@example.com',
    groups: ['ops'],
    expiresAt: 1_800_000_000,
  },
}
const BAD_TOKEN = rejected('signer_mismatch', { source: 'alb', detail: "found 'arn:other'" })

const SETTLED: Settled = {
  requestId: () => '1-67891233-abcdef012345678912345678',
  method: 'GET',
  route: 'guarded',
  path: '/roles',
  verdict: ANONYMOUS,
  stripped: { oidc: 1 },
  status: 200,
  cutShort: false,
  decisionSeconds: 0.001,
  totalSeconds: 0.0123456,
}

/** Everything a log line of a settled request may hold. */
const ALLOWED = new Set(
  'level time msg requestId verdict reason source detail wouldReject route rule path method status cutShort ms subject err'.split(
    ' ',
  ),
)

function setUp(options: Partial<LogOptions> = {}) {
  const written: string[] = []
  const log = createLog({
    level: 'info',
    format: 'json',
    accessLog: 'rejections',
    logSubject: false,
    destination: {
      write: line => {
        written.push(line)
      },
    },
    ...options,
  })
  const records = () => written.map(line => JSON.parse(line) as Record<string, unknown>)
  return { log, written, records }
}

t.test('ACCESS_LOG decides which settled requests get a line', t => {
  const requests = {
    authenticated: { verdict: ALICE },
    anonymous: { verdict: ANONYMOUS },
    rejected: { verdict: BAD_TOKEN },
    'anonymous with a token that was not believed': { ignored: BAD_TOKEN },
    'let through under ENFORCEMENT=report': { wouldReject: BAD_TOKEN },
    'a fault of ours': { verdict: rejected('internal_error'), fault: new Error('bug') },
  } satisfies Record<string, Partial<Settled>>
  const cases = [
    {
      accessLog: 'rejections',
      logged: [
        'rejected',
        'anonymous with a token that was not believed',
        'let through under ENFORCEMENT=report',
        'a fault of ours',
      ],
    },
    { accessLog: 'all', logged: Object.keys(requests) },
    { accessLog: 'off', logged: ['a fault of ours'] },
  ] as const
  for (const { accessLog, logged } of cases) {
    for (const [request, record] of Object.entries(requests)) {
      const { log, written } = setUp({ accessLog })
      log.settled({ ...SETTLED, ...record })
      t.equal(written.length, logged.some(each => each === request) ? 1 : 0, accessLog + request)
    }
  }
  t.end()
})

t.test('the line of a request says what was decided, and in which words', t => {
  const common = {
    level: 30,
    msg: 'request',
    requestId: SETTLED.requestId(),
    route: 'guarded',
    method: 'GET',
    ms: 12.346,
  }
  const cases: readonly { request: string; record: Partial<Settled>; line: object }[] = [
    {
      request: 'anonymous on a guarded path',
      record: {},
      line: { ...common, verdict: 'anonymous', path: '/roles', status: 200 },
    },
    {
      request: 'rejected for its token',
      record: { verdict: BAD_TOKEN, status: 401 },
      line: {
        ...common,
        verdict: 'rejected',
        reason: 'signer_mismatch',
        source: 'alb',
        detail: "found 'arn:other'",
        path: '/roles',
        status: 401,
      },
    },
    {
      request: 'rejected without a token',
      record: { verdict: rejected('token_missing'), status: 401 },
      line: {
        ...common,
        verdict: 'rejected',
        reason: 'token_missing',
        source: 'none',
        path: '/roles',
        status: 401,
      },
    },
    {
      request: 'let through with a token that was not believed',
      record: { ignored: BAD_TOKEN },
      line: {
        ...common,
        verdict: 'anonymous',
        reason: 'signer_mismatch',
        source: 'alb',
        detail: "found 'arn:other'",
        path: '/roles',
        status: 200,
      },
    },
    {
      request: 'let through under ENFORCEMENT=report',
      record: { wouldReject: rejected('audience_mismatch', { source: 'access_token' }) },
      line: {
        ...common,
        verdict: 'anonymous',
        reason: 'audience_mismatch',
        source: 'access_token',
        wouldReject: true,
        path: '/roles',
        status: 200,
      },
    },
    {
      request: 'let through under ENFORCEMENT=report without a token',
      record: { wouldReject: rejected('token_missing') },
      line: {
        ...common,
        verdict: 'anonymous',
        reason: 'token_missing',
        source: 'none',
        wouldReject: true,
        path: '/roles',
        status: 200,
      },
    },
    {
      request: 'cut short',
      record: { cutShort: true },
      line: { ...common, verdict: 'anonymous', path: '/roles', status: 200, cutShort: true },
    },
  ]
  for (const { request, record, line } of cases) {
    const { log, records } = setUp({ accessLog: 'all' })
    log.settled({ ...SETTLED, ...record })
    const [{ time, ...found } = {}] = records()
    t.same(found, line, request)
    t.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, `${request}: the time is ISO 8601`)
  }
  t.end()
})

t.test('an open route is named by its rule, never by its path', t => {
  const { log, records, written } = setUp({ accessLog: 'all' })
  const { path: _, ...record } = SETTLED
  log.settled({ ...record, route: 'open', rule: '/noauth/v1/challenge_poller/*' })
  t.match(records(), [{ route: 'open', rule: '/noauth/v1/challenge_poller/*' }])
  t.notMatch(written.join(''), /"path"/)
  t.end()
})

t.test('nothing but the allow-list reaches a line, whatever a record holds', t => {
  const fates: readonly Pick<Settled, 'verdict' | 'ignored' | 'wouldReject'>[] = [
    { verdict: ALICE },
    { verdict: ANONYMOUS },
    { verdict: ANONYMOUS, ignored: BAD_TOKEN },
    { verdict: ANONYMOUS, wouldReject: BAD_TOKEN },
    { verdict: BAD_TOKEN },
  ]
  for (const fate of fates) {
    const { log, records, written } = setUp({ accessLog: 'all', logSubject: true })
    const record: Settled & Record<string, unknown> = {
      ...SETTLED,
      ...fate,
      rule: '/open/*',
      token: 'a.secret.token',
      headers: ['Cookie', 'session=secret'],
      query: 'code=secret',
      identity: { user: 'secret' },
    }
    log.settled(record)
    t.same(
      Object.keys(records()[0] ?? {}).filter(key => !ALLOWED.has(key)),
      [],
      Object.keys(fate).join(),
    )
    t.notMatch(written.join(''), /secret|alice@example\.com|ops/, Object.keys(fate).join())
  }
  t.end()
})

t.test('the subject is named only when asked for and verified', t => {
  const cases = [
    { logSubject: true, verdict: ALICE, subject: SUBJECT },
    { logSubject: false, verdict: ALICE, subject: undefined },
    { logSubject: true, verdict: ANONYMOUS, subject: undefined },
    { logSubject: true, verdict: BAD_TOKEN, subject: undefined },
  ]
  for (const { logSubject, verdict, subject } of cases) {
    const { log, records } = setUp({ accessLog: 'all', logSubject })
    log.settled({ ...SETTLED, verdict })
    t.equal(records()[0]?.['subject'], subject, `${verdict.outcome}, LOG_SUBJECT=${logSubject}`)
  }
  t.end()
})

t.test('no line holds anything but ASCII, in either format, and the record says the same', t => {
  const subject = 'a\x7f\x9b2J\u0085\u2028é\u{1f600}\n'
  const verdict = { ...ALICE, identity: { ...ALICE.identity, subject } }
  for (const format of ['json', 'pretty'] as const) {
    const { log, written, records } = setUp({ accessLog: 'all', logSubject: true, format })
    log.settled({ ...SETTLED, verdict })
    t.match(written, [/^[\x20-\x7e]+\n$/], format)
    if (format === 'json') t.equal(records()[0]?.['subject'], subject)
    else t.match(written, [/subject="a\\u007f\\u009b2J\\u0085\\u2028\\u00e9\\ud83d\\ude00\\n"/])
  }
  t.end()
})

t.test('a path is written up to 256 characters', t => {
  for (const length of [255, 256, 257, 10_000]) {
    const { log, records } = setUp({ accessLog: 'all' })
    log.settled({ ...SETTLED, path: `/${'x'.repeat(length - 1)}` })
    t.equal(String(records()[0]?.['path']).length, Math.min(length, 256), String(length))
  }
  t.end()
})

t.test('a fault of ours is an error with its stack', t => {
  const { log, records } = setUp({ logSubject: true })
  const verdict = rejected('internal_error')
  log.settled({ ...SETTLED, verdict, status: 500, fault: new TypeError('x is not a function') })
  log.settled({ ...SETTLED, verdict, status: 500, fault: 'thrown text' })
  const [fault, text] = records()
  t.match(fault, { level: 50, msg: 'internal error', reason: 'internal_error', status: 500 })
  t.match(fault, { err: { type: 'TypeError', message: 'x is not a function', stack: /log\.test/ } })
  t.match(text, { level: 50, err: 'thrown text' }, 'whatever was thrown')
  t.end()
})

t.test('text from outside cannot begin a line of its own', t => {
  const { log, written } = setUp()
  const detail = 'found \'a\n{"level":30,"verdict":"authenticated"}\r\n\''
  log.settled({ ...SETTLED, verdict: rejected('issuer_mismatch', { detail }) })
  t.equal(written.length, 1)
  t.match(written[0], /^[^\r\n]+\n$/)
  t.end()
})

t.test('LOG_LEVEL leaves out what is less severe', t => {
  const cases = [
    { level: 'info', lines: 3 },
    { level: 'warn', lines: 2 },
    { level: 'error', lines: 1 },
    { level: 'silent', lines: 0 },
  ]
  for (const { level, lines } of cases) {
    const { log, written } = setUp({ level, accessLog: 'all' })
    log.settled(SETTLED)
    log.telemetry.upstreamFailed('timeout', 'no answer')
    log.settled({ ...SETTLED, fault: new Error('bug') })
    t.equal(written.length, lines, level)
  }
  t.end()
})

t.test('background events are lines of their own, warnings when something failed', t => {
  const { log, records } = setUp({ accessLog: 'off' })
  log.telemetry.keyFetched('alb', 'ok', 0.0123456)
  log.telemetry.keyFetched('alb', 'unknown', 1, 'status 404')
  log.telemetry.keyFetched('alb', 'error', 1, 'status 500')
  log.telemetry.keyFetched('alb', 'timeout', 2, 'no answer within KEY_FETCH_TIMEOUT')
  log.telemetry.keyFetched('alb', 'refused', 1, 'not a P-256 key')
  log.telemetry.keyFetched('jwks', 'ok', 0.5)
  log.telemetry.upstreamFailed('unreachable', 'connect ECONNREFUSED')
  t.match(records(), [
    { level: 30, msg: 'key fetched', keys: 'alb', outcome: 'ok', seconds: 0.012 },
    { level: 30, msg: 'key fetched', outcome: 'unknown', detail: 'status 404' },
    { level: 40, msg: 'key not fetched', outcome: 'error', detail: 'status 500' },
    { level: 40, msg: 'key not fetched', outcome: 'timeout' },
    { level: 40, msg: 'key not fetched', outcome: 'refused' },
    { level: 30, msg: 'key fetched', keys: 'jwks', outcome: 'ok', seconds: 0.5 },
    { level: 40, msg: 'application failed', kind: 'unreachable', detail: /ECONNREFUSED/ },
  ])
  t.end()
})

t.test('what could not become a request has a line too, unless lines are off', t => {
  for (const accessLog of ['rejections', 'all', 'off'] as const) {
    const { log, records } = setUp({ accessLog })
    log.refused('r-1', 'headers_too_large')
    const line = {
      level: 30,
      msg: 'no request',
      requestId: 'r-1',
      verdict: 'rejected',
      reason: 'headers_too_large',
      source: 'none',
    }
    const found = records().map(({ time: _, ...record }) => record)
    t.same(found, accessLog === 'off' ? [] : [line], accessLog)
  }
  t.end()
})

t.test('one of several processes says which one it is, and one alone does not', t => {
  for (const [options, worker] of [
    [{ worker: 7 }, 7],
    [{}, undefined],
  ] as const) {
    const { log, records } = setUp(options)
    log.settled({ ...SETTLED, verdict: BAD_TOKEN })
    log.logger.warn('anything')
    t.same(
      records().map(record => record['worker']),
      [worker, worker],
    )
  }
  t.end()
})

t.test('the pretty format is one readable line a record', t => {
  const { log, written } = setUp({ format: 'pretty', accessLog: 'all' })
  log.settled({ ...SETTLED, verdict: BAD_TOKEN, status: 401 })
  log.telemetry.upstreamFailed('timeout', 'two\nlines')
  log.logger.child({}, { customLevels: { audit: 35 } }).audit('of a level without a name')
  t.equal(written.length, 3)
  const [request, failure, unnamed] = written.map(line => line.replace(/^\S+Z /, ''))
  t.equal(
    request,
    [
      'info  request requestId="1-67891233-abcdef012345678912345678" verdict="rejected"',
      'reason="signer_mismatch" source="alb" detail="found \'arn:other\'" route="guarded"',
      'path="/roles" method="GET" status=401 ms=12.346\n',
    ].join(' '),
  )
  t.equal(failure, 'warn  application failed kind="timeout" detail="two\\nlines"\n')
  t.equal(unnamed, '      of a level without a name \n')
  t.end()
})
