/**
 * Tries what the sidecar will need: keys, the identity provider, the application, and a keep-alive time
 * that the load balancer can live with. The same fetchers as in the proxy ask.
 */
import { randomUUID } from 'node:crypto'
import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import { createBoundedFetch, type Fetch, type Fetched } from '../tokens/bounded-fetch.ts'
import { jwksSource } from '../gate.ts'
import { keyUrl } from '../tokens/alb-arn.ts'
import { createFetch } from '../tokens/fetch.ts'
import { createJwks } from '../tokens/jwks.ts'
import { PEM_KEY } from '../tokens/pem-key.ts'
import { reach } from './reach.ts'
import { showUrl } from './show-url.ts'
import { SILENT } from './silent.ts'

export interface Trial {
  readonly name: string
  /** What was asked, without secrets. */
  readonly target: string
  /** `odd`: not as it should be, but nothing that stops requests; `unasked`: not needed. */
  readonly outcome: 'good' | 'bad' | 'odd' | 'unasked'
  readonly detail: string
  /** How long it took. */
  readonly ms?: number
}

/** How long connecting to the application may take where the configuration sets no limit. */
const PATIENCE_MS = 10_000

export interface TrialOptions {
  readonly clock: Clock
  /** The load balancer's idle timeout. */
  readonly albIdleMs: number
}

/** Everything at once; resolves when the slowest has answered or run out of time. */
export async function runTrials(config: Config, options: TrialOptions): Promise<readonly Trial[]> {
  const fetch = await createFetch(config)
  const trials = await Promise.all([
    tryKeyEndpoints(config, fetch, options.clock),
    tryIdentityProvider(config, fetch, options.clock),
    tryApplication(config, options.clock),
  ])
  return [...trials.flat(), compareKeepAlive(config, options.albIdleMs)]
}

/** Asks for a key that cannot be there: to be told so is the good answer. */
function tryKeyEndpoints(config: Config, fetch: Fetch, clock: Clock): Promise<readonly Trial[]> {
  const fetchKey = createBoundedFetch(fetch, config.keyFetchTimeoutMs, PEM_KEY)
  const kid = randomUUID()
  const urls = new Set(config.albArns.map(arn => keyUrl(arn, kid, config.keyUrl)))
  const seeds = config.keySeeds?.size ?? 0
  return Promise.all(
    [...urls]
      .filter(url => url !== undefined)
      .map(async url => {
        const target = showUrl(url.replaceAll(kid, '<kid>'))
        const { value: fetched, ms } = await timed(clock, fetchKey(url))
        const about = { name: 'key endpoint', target, ms }
        if (fetched.outcome === 'unknown') {
          return {
            ...about,
            outcome: 'good',
            detail: `answers (${fetched.detail} for a made-up key)`,
          }
        }
        if (fetched.outcome === 'ok') {
          const detail = 'gives a key for any kid: is {kid} where it should be in ALB_KEY_URL?'
          return { ...about, outcome: 'odd', detail }
        }
        const more = seeds > 0 ? `; only the ${seeds} keys of ALB_KEYS_DIR will do` : ''
        return { ...about, outcome: seeds > 0 ? 'odd' : 'bad', detail: fetched.detail + more }
      }),
  )
}

/** Has the key set read as at start, and listens in on what is asked for. */
async function tryIdentityProvider(
  config: Config,
  fetch: Fetch,
  clock: Clock,
): Promise<readonly Trial[]> {
  if (config.accessToken === 'ignore') {
    const detail = 'not needed: ACCESS_TOKEN=ignore'
    return [{ name: 'identity provider', target: '', outcome: 'unasked', detail }]
  }
  const trials: Trial[] = []
  const heard =
    <T extends object>(
      name: string,
      ask: (url: string) => Promise<Fetched<T>>,
      tell: (value: T) => string,
    ) =>
    async (url: string) => {
      const { value: fetched, ms } = await timed(clock, ask(url))
      const isGood = fetched.outcome === 'ok'
      const detail = isGood ? tell(fetched.value) : fetched.detail
      trials.push({ name, target: showUrl(url), outcome: isGood ? 'good' : 'bad', detail, ms })
      return fetched
    }
  let fault: string | undefined
  const given = jwksSource(config, fetch)
  const jwks = createJwks({
    ...{ ...given, clock },
    fetchDiscovery: heard('discovery', given.fetchDiscovery, () => 'answers'),
    fetchSet: heard('key set', given.fetchSet, set => `answers; usable keys: ${set.size}`),
    telemetry: {
      ...SILENT,
      keyFetched: (_keys, _outcome, _seconds, detail) => {
        fault = detail
      },
    },
  })
  await jwks.start()
  if (fault === undefined || trials.some(({ outcome }) => outcome === 'bad')) return trials
  return [...trials, { name: 'key set', target: '', outcome: 'bad', detail: fault }]
}

async function tryApplication(config: Config, clock: Clock): Promise<readonly Trial[]> {
  const { upstream, upstreamConnectTimeoutMs } = config
  const { protocol, host, port, socketPath } = upstream
  const target = socketPath === undefined ? `${protocol}//${host}:${port}` : `unix:${socketPath}`
  const patience = upstreamConnectTimeoutMs === 0 ? PATIENCE_MS : upstreamConnectTimeoutMs
  const { value: fault, ms } = await timed(
    clock,
    reach({ ...upstream, ca: config.upstreamCa }, patience),
  )
  const takes =
    protocol === 'https:' ? 'takes connections, with a good certificate' : 'takes connections'
  return [
    {
      ...{ name: 'application', target, ms },
      ...(fault === undefined
        ? { outcome: 'good', detail: takes }
        : { outcome: 'bad', detail: fault }),
    },
  ]
}

function compareKeepAlive({ keepAliveTimeoutMs }: Config, albIdleMs: number): Trial {
  const isLonger = keepAliveTimeoutMs > albIdleMs
  const values = `${keepAliveTimeoutMs / 1000} s here, ${albIdleMs / 1000} s at the load balancer`
  return {
    name: 'keep-alive',
    target: 'KEEP_ALIVE_TIMEOUT',
    outcome: isLonger ? 'good' : 'bad',
    detail: isLonger
      ? values
      : `${values}: it will reuse connections that are being closed, and answer 502`,
  }
}

async function timed<T>(clock: Clock, work: Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = clock.monotonicMs()
  const value = await work
  return { value, ms: Math.round(clock.monotonicMs() - startedAt) }
}
