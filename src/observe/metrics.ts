/**
 * Every metric: its name, help and labels next to the line that fills it.
 *
 * Label values come from closed lists only, so that no client can add a series; every labelled counter
 * is born at 0, so that `rate()` sees the first of each kind.
 *
 * @see https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
 */
import { Counter, Gauge, Histogram, collectDefaultMetrics, type Registry } from 'prom-client'
import { REASON_NAMES } from '../core/reasons.ts'
import { STRIPPED_KINDS, type Settled } from '../core/settled.ts'
import {
  FETCH_OUTCOMES,
  KEY_SOURCES,
  LOOKUP_RESULTS,
  UPSTREAM_ERROR_KINDS,
  type Telemetry,
} from '../core/telemetry.ts'
import { SOURCE_NAMES, VERDICTS } from '../core/verdict.ts'

export interface Gauges {
  /** Open connections to the application. */
  readonly upstreamConnections: () => number
  /** Open WebSockets. */
  readonly webSockets: () => number
  readonly isDraining: () => boolean
  /** Whether a check was left out by an `UNSAFE_` setting. */
  readonly isUnsafe: boolean
  readonly version: string
  /** Of the runtime, as `v24.1.0`. */
  readonly node: string
}

export interface Metrics {
  readonly telemetry: Telemetry
  /** Called when a request begins; the returned function when it is over. */
  readonly begin: () => (record: Settled) => void
  /** For what was turned away before it could become a request. */
  readonly refused: (record: Pick<Settled, 'verdict' | 'route'>) => void
  /** For a worker that was started in the place of another. */
  readonly workerRestarted: () => void
}

const ROUTES = ['open', 'guarded'] as const
const CODES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const
const SOURCES = ['none', ...SOURCE_NAMES] as const

/** prom-client names these gauges `_total`, which promtool refuses (client_js#283). */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
] as const

const DECISION_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 0.5, 1, 2.5]
const REQUEST_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const FETCH_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30]
const LIFETIME_BUCKETS = [0, 15, 30, 60, 90, 120, 180, 300, 600, 1800, 3600]

export function createMetrics(registry: Registry, gauges: Gauges): Metrics {
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  for (const name of MISNAMED) registry.removeSingleMetric(name)

  const requests = new Counter({
    name: 'alb_auth_requests_total',
    help: 'Requests by what was decided about them.',
    labelNames: ['verdict', 'route'] as const,
    registers,
  })
  for (const verdict of VERDICTS) for (const route of ROUTES) requests.inc({ verdict, route }, 0)

  const rejections = new Counter({
    name: 'alb_auth_rejections_total',
    help: 'Requests turned away, by reason and by the token that was at fault; see docs/reasons.md.',
    labelNames: ['reason', 'source'] as const,
    registers,
  })
  const invalidTokens = new Counter({
    name: 'alb_auth_invalid_tokens_total',
    help: 'Invalid tokens taken out of requests that went on as anonymous.',
    labelNames: ['reason', 'source'] as const,
    registers,
  })
  const wouldReject = new Counter({
    name: 'alb_auth_would_reject_total',
    help: 'Requests that ENFORCEMENT=report let through, by why they would have been turned away.',
    labelNames: ['reason', 'source'] as const,
    registers,
  })
  for (const reason of REASON_NAMES) {
    for (const source of SOURCES) {
      rejections.inc({ reason, source }, 0)
      wouldReject.inc({ reason, source }, 0)
      invalidTokens.inc({ reason, source }, 0)
    }
  }

  const stripped = new Counter({
    name: 'alb_auth_stripped_headers_total',
    help: 'Request headers that did not reach the application, by why.',
    labelNames: ['kind'] as const,
    registers,
  })
  for (const kind of STRIPPED_KINDS) stripped.inc({ kind }, 0)

  const lookups = new Counter({
    name: 'alb_auth_key_cache_lookups_total',
    help: 'Look-ups of verification keys, by what the cache had.',
    labelNames: ['keys', 'result'] as const,
    registers,
  })
  const fetches = new Counter({
    name: 'alb_auth_key_fetches_total',
    help: 'Fetches of verification keys, by how they ended.',
    labelNames: ['keys', 'outcome'] as const,
    registers,
  })
  for (const keys of KEY_SOURCES) {
    for (const result of LOOKUP_RESULTS) lookups.inc({ keys, result }, 0)
    for (const outcome of FETCH_OUTCOMES) fetches.inc({ keys, outcome }, 0)
  }
  const fetchSeconds = new Histogram({
    name: 'alb_auth_key_fetch_duration_seconds',
    help: 'Time that fetches of verification keys took, their retry included.',
    labelNames: ['keys', 'outcome'] as const,
    buckets: FETCH_BUCKETS,
    registers,
  })

  const tokenLookups = new Counter({
    name: 'alb_auth_token_cache_lookups_total',
    help: 'Look-ups of tokens that were verified before.',
    labelNames: ['source', 'result'] as const,
    registers,
  })
  for (const source of SOURCE_NAMES) {
    for (const result of ['hit', 'miss'] as const) tokenLookups.inc({ source, result }, 0)
  }
  const lifetimes = new Histogram({
    name: 'alb_auth_token_lifetime_seconds',
    help: 'Time that tokens had left when they were verified.',
    labelNames: ['source'] as const,
    buckets: LIFETIME_BUCKETS,
    registers,
  })

  const decisionSeconds = new Histogram({
    name: 'alb_auth_decision_duration_seconds',
    help: 'Time from the header of a request to its verdict.',
    labelNames: ['verdict'] as const,
    buckets: DECISION_BUCKETS,
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'alb_auth_request_duration_seconds',
    help: 'Time from the header of a request to the end of its answer; a client that left counts as 4xx.',
    labelNames: ['verdict', 'code'] as const,
    buckets: REQUEST_BUCKETS,
    registers,
  })

  const upstreamErrors = new Counter({
    name: 'alb_auth_upstream_errors_total',
    help: 'Requests that the application did not answer properly, by how.',
    labelNames: ['kind'] as const,
    registers,
  })
  for (const kind of UPSTREAM_ERROR_KINDS) upstreamErrors.inc({ kind }, 0)

  new Gauge({
    name: 'alb_auth_upstream_connections',
    help: 'Open connections to the application, idle ones and those of WebSockets included.',
    registers,
    collect() {
      this.set(gauges.upstreamConnections())
    },
  })
  new Gauge({
    name: 'alb_auth_websockets',
    help: 'Open WebSockets.',
    registers,
    collect() {
      this.set(gauges.webSockets())
    },
  })
  const inFlight = new Gauge({
    name: 'alb_auth_requests_in_flight',
    help: 'Requests that have not been answered to their end.',
    registers,
  })
  const restarts = new Counter({
    name: 'alb_auth_worker_restarts_total',
    help: 'Workers that were started in the place of one that had ended; 0 with WORKERS=1.',
    registers,
  })
  // Of several workers, what these say is not to be added up.
  const aggregator = 'max'
  new Gauge({
    name: 'alb_auth_draining',
    help: '1 from SIGTERM on.',
    aggregator,
    registers,
    collect() {
      this.set(gauges.isDraining() ? 1 : 0)
    },
  })
  new Gauge({
    name: 'alb_auth_unsafe_settings',
    help: '1 when an UNSAFE_ setting leaves a check out.',
    aggregator,
    registers,
  }).set(gauges.isUnsafe ? 1 : 0)
  new Gauge({
    name: 'alb_auth_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'node'] as const,
    aggregator,
    registers,
  }).set({ version: gauges.version, node: gauges.node }, 1)

  function refused({ verdict, route }: Pick<Settled, 'verdict' | 'route'>): void {
    requests.inc({ verdict: verdict.outcome, route })
    if (verdict.outcome !== 'rejected') return
    rejections.inc({ reason: verdict.reason, source: verdict.source ?? 'none' })
  }

  return {
    telemetry: {
      keyLookup: (keys, result) => {
        lookups.inc({ keys, result })
      },
      keyFetched: (keys, outcome, seconds) => {
        fetches.inc({ keys, outcome })
        fetchSeconds.observe({ keys, outcome }, seconds)
      },
      tokenCacheLookup: (source, result) => {
        tokenLookups.inc({ source, result })
      },
      tokenVerified: (source, seconds) => {
        lifetimes.observe({ source }, seconds)
      },
      upstreamFailed: kind => {
        upstreamErrors.inc({ kind })
      },
    },
    refused,
    workerRestarted: () => {
      restarts.inc()
    },
    begin: () => {
      inFlight.inc()
      return record => {
        inFlight.dec()
        refused(record)
        const {
          verdict,
          ignored,
          wouldReject: spared,
          stripped: counts,
          status,
          decisionSeconds: decided,
        } = record
        if (ignored) invalidTokens.inc({ reason: ignored.reason, source: ignored.source ?? 'none' })
        if (spared) wouldReject.inc({ reason: spared.reason, source: spared.source ?? 'none' })
        for (const kind of STRIPPED_KINDS) {
          if (counts[kind] !== undefined) stripped.inc({ kind }, counts[kind])
        }
        decisionSeconds.observe({ verdict: verdict.outcome }, decided)
        const code = codeOf(status)
        requestSeconds.observe({ verdict: verdict.outcome, code }, record.totalSeconds)
      }
    },
  }
}

/** The class of a status; above 599 as 5xx (RFC 9110 §15), none at all as 4xx: the client left. */
function codeOf(status: number | undefined): (typeof CODES)[number] {
  return CODES[Math.min(5, Math.floor((status ?? 499) / 100)) - 1] ?? '5xx'
}
