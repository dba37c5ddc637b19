import { Registry } from 'prom-client'
import t from 'tap'
import { REASON_NAMES } from '../../src/core/reasons.ts'
import type { Settled } from '../../src/core/settled.ts'
import {
  FETCH_OUTCOMES,
  KEY_SOURCES,
  LOOKUP_RESULTS,
  UPSTREAM_ERROR_KINDS,
} from '../../src/core/telemetry.ts'
import { ANONYMOUS, SOURCE_NAMES, rejected } from '../../src/core/verdict.ts'
import { createMetrics, type Gauges } from '../../src/observe/metrics.ts'

/** SPEC §11, for every metric there is so far: its type, and what each label may say. */
const VERDICT = ['authenticated', 'anonymous', 'rejected']
const TOKEN = ['alb', 'access_token']
const SOURCE = ['none', ...TOKEN]
const KEYS = ['alb', 'jwks']
const OUTCOME = ['ok', 'unknown', 'error', 'timeout', 'refused']
const CONTRACT: Record<string, { type: string; labels: Record<string, readonly string[]> }> = {
  requests_total: { type: 'counter', labels: { verdict: VERDICT, route: ['open', 'guarded'] } },
  rejections_total: { type: 'counter', labels: { reason: REASON_NAMES, source: SOURCE } },
  invalid_tokens_total: { type: 'counter', labels: { reason: REASON_NAMES, source: SOURCE } },
  would_reject_total: { type: 'counter', labels: { reason: REASON_NAMES, source: SOURCE } },
  stripped_headers_total: {
    type: 'counter',
    labels: { kind: ['oidc', 'identity', 'nonstandard', 'listed'] },
  },
  key_cache_lookups_total: {
    type: 'counter',
    labels: { keys: KEYS, result: ['hit', 'miss', 'stale', 'negative', 'limited'] },
  },
  key_fetches_total: { type: 'counter', labels: { keys: KEYS, outcome: OUTCOME } },
  key_fetch_duration_seconds: { type: 'histogram', labels: { keys: KEYS, outcome: OUTCOME } },
  token_cache_lookups_total: {
    type: 'counter',
    labels: { source: TOKEN, result: ['hit', 'miss'] },
  },
  token_lifetime_seconds: { type: 'histogram', labels: { source: TOKEN } },
  decision_duration_seconds: { type: 'histogram', labels: { verdict: VERDICT } },
  request_duration_seconds: {
    type: 'histogram',
    labels: { verdict: VERDICT, code: ['1xx', '2xx', '3xx', '4xx', '5xx'] },
  },
  upstream_errors_total: {
    type: 'counter',
    labels: { kind: ['unreachable', 'timeout', 'aborted', 'saturated', 'invalid'] },
  },
  /** Not of SPEC §11: only a primary counts it. */
  worker_restarts_total: { type: 'counter', labels: {} },
  upstream_connections: { type: 'gauge', labels: {} },
  websockets: { type: 'gauge', labels: {} },
  requests_in_flight: { type: 'gauge', labels: {} },
  draining: { type: 'gauge', labels: {} },
  unsafe_settings: { type: 'gauge', labels: {} },
  build_info: { type: 'gauge', labels: { version: ['1.2.3'], node: ['v20.0.0'] } },
}
const OURS = Object.entries(CONTRACT)

const GAUGES: Gauges = {
  upstreamConnections: () => 0,
  webSockets: () => 0,
  isDraining: () => false,
  isUnsafe: false,
  version: '1.2.3',
  node: 'v20.0.0',
}

const SETTLED: Settled = {
  requestId: () => 'r',
  method: 'GET',
  route: 'guarded',
  verdict: ANONYMOUS,
  stripped: {},
  status: 200,
  cutShort: false,
  decisionSeconds: 0.0002,
  totalSeconds: 0.02,
}
const IDENTITY = { subject: 's', user: 'u', groups: [], expiresAt: 1 }

function setUp(gauges: Partial<Gauges> = {}) {
  const registry = new Registry()
  const metrics = createMetrics(registry, { ...GAUGES, ...gauges })
  /** Every series of ours that the page holds, without the prefix, and its value. */
  const series = async () => {
    const page = await registry.metrics()
    const found = page.matchAll(/^alb_auth_([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)
    return [...found].map(([, name = '', labels = '', value]) => ({
      name,
      labels: Object.fromEntries(
        [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, text]) => [label, text]),
      ) as Record<string, string>,
      value: Number(value),
    }))
  }
  /** The series of these names that are not zero, as `name{label="value"}`. */
  const counted = async (...names: readonly string[]) => {
    const found = (await series()).filter(({ name, value }) => names.includes(name) && value !== 0)
    return Object.fromEntries(
      found.map(({ name, labels, value }) => [[name, ...Object.values(labels)].join(' '), value]),
    )
  }
  return { registry, metrics, series, counted }
}

/** Every combination of the values. */
function combinations(labels: Record<string, readonly string[]>): Record<string, string>[] {
  return Object.entries(labels).reduce<Record<string, string>[]>(
    (rows, [label, values]) =>
      rows.flatMap(row => values.map(value => ({ ...row, [label]: value }))),
    [{}],
  )
}

const sorted = (rows: readonly Record<string, string>[]) =>
  rows.map(row => JSON.stringify(Object.entries(row).sort())).sort()

t.test('the names, types and label names are those of SPEC §11', async t => {
  const { registry } = setUp()
  const pages = await registry.getMetricsAsJSON()
  const ours = pages.filter(({ name }) => name.startsWith('alb_auth_'))
  t.same(ours.map(({ name }) => name.slice(9)).sort(), OURS.map(([name]) => name).sort())
  for (const [name, { type, labels }] of OURS) {
    const metric = registry.getSingleMetric(`alb_auth_${name}`) as unknown
    t.match(metric, { type, labelNames: Object.keys(labels) }, name)
    t.match(metric, { help: /\.$/ }, `${name} is explained in a sentence`)
  }
})

t.test('every labelled counter is born at 0, in every combination and no other', async t => {
  const { series } = setUp()
  const all = await series()
  for (const [name, { labels }] of OURS.filter(([, { type }]) => type === 'counter')) {
    const born = all.filter(each => each.name === name)
    t.same(sorted(born.map(each => each.labels)), sorted(combinations(labels)), name)
    t.ok(
      born.every(({ value }) => value === 0),
      `${name} begins at 0`,
    )
  }
})

t.test('no name on the page is one that promtool refuses', async t => {
  const page = await setUp().registry.metrics()
  for (const [, name = '', type = ''] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    t.equal(/_total$/.test(name), type === 'counter', `${name} is a ${type}`)
  }
  t.match(page, /^nodejs_eventloop_lag_seconds /m, "node's own are there")
})

t.test('one settled request moves the counters it should, and no other', async t => {
  const counters = OURS.filter(([, { type }]) => type === 'counter').map(([name]) => name)
  const cases: readonly {
    request: string
    record: Partial<Settled>
    moved: Readonly<Record<string, number>>
  }[] = [
    {
      request: 'anonymous on a guarded path',
      record: {},
      moved: { 'requests_total anonymous guarded': 1 },
    },
    {
      request: 'authenticated on an open path, a forged header stripped',
      record: {
        route: 'open',
        verdict: { outcome: 'authenticated', identity: IDENTITY },
        stripped: { identity: 2, listed: 1 },
      },
      moved: {
        'requests_total authenticated open': 1,
        'stripped_headers_total identity': 2,
        'stripped_headers_total listed': 1,
      },
    },
    {
      request: 'rejected for its token',
      record: { verdict: rejected('signature_invalid', { source: 'alb' }), stripped: { oidc: 1 } },
      moved: {
        'requests_total rejected guarded': 1,
        'rejections_total signature_invalid alb': 1,
        'stripped_headers_total oidc': 1,
      },
    },
    {
      request: 'rejected without a token',
      record: { verdict: rejected('token_missing') },
      moved: { 'requests_total rejected guarded': 1, 'rejections_total token_missing none': 1 },
    },
    {
      request: 'anonymous with a token that was not believed',
      record: {
        route: 'open',
        ignored: rejected('token_expired', { source: 'alb' }),
        stripped: { nonstandard: 3, oidc: 0 },
      },
      moved: {
        'requests_total anonymous open': 1,
        'invalid_tokens_total token_expired alb': 1,
        'stripped_headers_total nonstandard': 3,
      },
    },
    {
      request: 'anonymous with something not believed that no token is named for',
      record: { ignored: rejected('groups_too_large') },
      moved: {
        'requests_total anonymous guarded': 1,
        'invalid_tokens_total groups_too_large none': 1,
      },
    },
    {
      request: 'rejected for its access token',
      record: { verdict: rejected('token_opaque', { source: 'access_token' }) },
      moved: {
        'requests_total rejected guarded': 1,
        'rejections_total token_opaque access_token': 1,
      },
    },
    {
      request: 'anonymous with an access token that was not believed',
      record: { ignored: rejected('audience_mismatch', { source: 'access_token' }) },
      moved: {
        'requests_total anonymous guarded': 1,
        'invalid_tokens_total audience_mismatch access_token': 1,
      },
    },
    {
      request: 'let through with a bad token under ENFORCEMENT=report',
      record: { wouldReject: rejected('subject_mismatch', { source: 'access_token' }) },
      moved: {
        'requests_total anonymous guarded': 1,
        'would_reject_total subject_mismatch access_token': 1,
      },
    },
    {
      request: 'let through without a token under ENFORCEMENT=report',
      record: { wouldReject: rejected('token_missing') },
      moved: { 'requests_total anonymous guarded': 1, 'would_reject_total token_missing none': 1 },
    },
  ]
  for (const { request, record, moved } of cases) {
    const { metrics, counted } = setUp()
    metrics.begin()({ ...SETTLED, ...record })
    t.same(await counted(...counters), moved, request)
  }
})

t.test('every status falls into one class; a client that left before an answer is 4xx', async t => {
  const cases = [
    { status: 101, code: '1xx' },
    { status: 200, code: '2xx' },
    { status: 299, code: '2xx' },
    { status: 302, code: '3xx' },
    { status: 404, code: '4xx' },
    { status: 500, code: '5xx' },
    { status: 503, code: '5xx' },
    { status: 600, code: '5xx' },
    { status: 999, code: '5xx' },
    { status: 42, code: '5xx' },
    { status: undefined, code: '4xx' },
  ]
  for (const { status, code } of cases) {
    const { metrics, counted } = setUp()
    const { status: _, ...record } = SETTLED
    metrics.begin()({ ...record, ...(status !== undefined && { status }) })
    t.same(
      await counted('request_duration_seconds_count'),
      { [`request_duration_seconds_count anonymous ${code}`]: 1 },
      String(status),
    )
  }
})

t.test('times are observed in seconds, under the verdict they belong to', async t => {
  const { metrics, series } = setUp()
  metrics.begin()({ ...SETTLED, decisionSeconds: 0.25, totalSeconds: 7 })
  const sums = (await series()).filter(({ name }) => name.endsWith('_sum'))
  t.has(sums, [
    { name: 'decision_duration_seconds_sum', labels: { verdict: 'anonymous' }, value: 0.25 },
    { name: 'request_duration_seconds_sum', labels: { verdict: 'anonymous' }, value: 7 },
  ])
})

t.test('requests in flight go up when one begins and down when it is settled', async t => {
  const { metrics, counted } = setUp()
  const settle = [metrics.begin(), metrics.begin()]
  t.same(await counted('requests_in_flight'), { requests_in_flight: 2 })
  settle[0]!(SETTLED)
  t.same(await counted('requests_in_flight'), { requests_in_flight: 1 })
  settle[1]!({ ...SETTLED, verdict: rejected('internal_error') })
  t.same(await counted('requests_in_flight'), {})
})

t.test(
  'what was turned away before it was a request counts as rejected, not in flight',
  async t => {
    const { metrics, counted } = setUp()
    metrics.refused({ verdict: rejected('headers_too_large'), route: 'guarded' })
    t.same(await counted('requests_total', 'rejections_total', 'requests_in_flight'), {
      'requests_total rejected guarded': 1,
      'rejections_total headers_too_large none': 1,
    })
  },
)

t.test('a worker that was started in the place of another is counted', async t => {
  const { metrics, counted } = setUp()
  metrics.workerRestarted()
  t.same(await counted('worker_restarts_total'), { worker_restarts_total: 1 })
})

t.test('gauges say what holds when they are read', async t => {
  let open = 3
  const { series } = setUp({
    upstreamConnections: () => open,
    webSockets: () => open + 1,
    isDraining: () => open === 0,
  })
  const value = async (name: string) => (await series()).find(each => each.name === name)?.value
  t.equal(await value('upstream_connections'), 3)
  t.equal(await value('websockets'), 4)
  t.equal(await value('draining'), 0)
  t.equal(await value('unsafe_settings'), 0)
  t.equal(await value('build_info'), 1)
  open = 0
  t.equal(await value('upstream_connections'), 0)
  t.equal(await value('draining'), 1)
  const unsafe = (await setUp({ isUnsafe: true }).series()).find(
    ({ name }) => name === 'unsafe_settings',
  )
  t.equal(unsafe?.value, 1, 'an unsafe setting is 1 from the start')
})

t.test('what happens beside a request is counted as it is reported', async t => {
  const { metrics, counted, series } = setUp()
  const { telemetry } = metrics
  telemetry.keyLookup('alb', 'hit')
  telemetry.keyLookup('alb', 'hit')
  telemetry.keyLookup('alb', 'limited')
  telemetry.keyFetched('alb', 'timeout', 2, 'no answer within KEY_FETCH_TIMEOUT')
  telemetry.keyLookup('jwks', 'stale')
  telemetry.keyFetched('jwks', 'ok', 0.5)
  telemetry.tokenCacheLookup('alb', 'hit')
  telemetry.tokenCacheLookup('alb', 'hit')
  telemetry.tokenCacheLookup('access_token', 'miss')
  telemetry.tokenVerified('access_token', 300)
  telemetry.tokenVerified('alb', 119)
  telemetry.tokenVerified('alb', -3)
  telemetry.upstreamFailed('saturated', 'busy')
  t.same(
    await counted(
      'key_cache_lookups_total',
      'key_fetches_total',
      'key_fetch_duration_seconds_sum',
      'token_cache_lookups_total',
      'token_lifetime_seconds_count',
      'upstream_errors_total',
    ),
    {
      'key_cache_lookups_total alb hit': 2,
      'key_cache_lookups_total alb limited': 1,
      'key_cache_lookups_total jwks stale': 1,
      'key_fetches_total alb timeout': 1,
      'key_fetches_total jwks ok': 1,
      'key_fetch_duration_seconds_sum alb timeout': 2,
      'key_fetch_duration_seconds_sum jwks ok': 0.5,
      'token_cache_lookups_total alb hit': 2,
      'token_cache_lookups_total access_token miss': 1,
      'token_lifetime_seconds_count alb': 2,
      'token_lifetime_seconds_count access_token': 1,
      'upstream_errors_total saturated': 1,
    },
  )
  const expired = (await series()).find(
    ({ name, labels }) =>
      name === 'token_lifetime_seconds_bucket' &&
      labels['source'] === 'alb' &&
      labels['le'] === '0',
  )
  t.equal(expired?.value, 1, 'a token taken within the tolerance counts as expired')
})

t.test('after one of everything, no label says what is not on its list', async t => {
  const { metrics, series } = setUp()
  const settle = (record: Partial<Settled>) => {
    metrics.begin()({ ...SETTLED, ...record })
  }
  for (const reason of REASON_NAMES) {
    for (const source of SOURCE_NAMES) {
      const refusal = rejected(reason, { source, detail: "somebody's text" })
      settle({ verdict: refusal })
      settle({ ignored: refusal })
      settle({ wouldReject: refusal })
    }
  }
  for (const status of [101, 204, 304, 418, 599, 999]) settle({ status, method: 'BREW' })
  for (const keys of KEY_SOURCES) {
    for (const result of LOOKUP_RESULTS) metrics.telemetry.keyLookup(keys, result)
    for (const outcome of FETCH_OUTCOMES) {
      metrics.telemetry.keyFetched(keys, outcome, 0.1, "somebody's text")
    }
  }
  for (const kind of UPSTREAM_ERROR_KINDS) metrics.telemetry.upstreamFailed(kind, "somebody's text")
  for (const source of SOURCE_NAMES) {
    metrics.telemetry.tokenVerified(source, 60)
    metrics.telemetry.tokenCacheLookup(source, 'hit')
    metrics.telemetry.tokenCacheLookup(source, 'miss')
  }

  const strays = (await series()).filter(({ name, labels: { le: _, ...labels } }) => {
    const row = CONTRACT[name] ?? CONTRACT[name.replace(/_(?:bucket|sum|count)$/, '')]
    return !Object.entries(labels).every(([label, value]) => row?.labels[label]?.includes(value))
  })
  t.same(strays, [])
})
