/**
 * The public keys of load balancers: one by one, by region and `kid`, as AWS serves them.
 *
 * A key never changes under its `kid`, so a known one is answered from memory and renewed behind the
 * caller's back; an outage of the endpoint is not felt until `staleMs` later. What is not known costs
 * a fetch, and a forger can name any number of keys: such fetches have a budget of their own that
 * known keys never draw on, an endpoint's "no such key" is remembered for a moment, and a fault is
 * not remembered as anything.
 */
import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { Telemetry } from '../core/telemetry.ts'
import type { AlbArn } from './alb-arn.ts'
import type { KeyFault } from './alb-token.ts'
import type { Fetched } from './bounded-fetch.ts'

/** How many kids are remembered as unknown; each for `negativeTtlMs`. */
const NEGATIVE_ENTRIES = 1_000
/** Budget for kids never seen: this many at once, then this many a second. */
const BURST = 10
const REFILL_PER_SECOND = 1
/** Pause between two attempts to renew one key. */
const RENEWAL_PAUSE_MS = 1_000

export interface AlbKeyOptions {
  /** How many keys are kept; the least recently used goes first. */
  readonly size: number
  /** How long a key is used before it is asked for again. */
  readonly ttlMs: number
  /** How much longer it is used while the endpoint fails. */
  readonly staleMs: number
  readonly negativeTtlMs: number
  /** Keys given by the operator, by `kid` in lower case: never fetched, never forgotten. */
  readonly seeds: ReadonlyMap<string, KeyObject>
  /** Where a key is published; `undefined` when nobody knows. */
  readonly urlOf: (arn: AlbArn, kid: string) => string | undefined
  readonly fetchKey: (url: string) => Promise<Fetched<KeyObject>>
  readonly clock: Clock
  readonly telemetry: Telemetry
}

interface Entry {
  readonly key: KeyObject
  readonly fetchedAt: number
  /** Since when the endpoint says that it does not know the key, if it does. */
  readonly disownedAt?: number
}

/**
 * @returns A function that resolves to the key, or to why there is none: `key_unknown` only when the
 * endpoint said so, `key_unavailable` for everything that may be different in a moment.
 */
export function createAlbKeys(
  options: AlbKeyOptions,
): (arn: AlbArn, kid: string) => Promise<KeyObject | KeyFault> {
  const { clock, telemetry } = options
  const known = new LRUCache<string, Entry>({ max: options.size })
  const unknown = new LRUCache<string, number>({ max: NEGATIVE_ENTRIES })
  const flights = new Map<string, Promise<Fetched<KeyObject>>>()
  const renewedAt = new LRUCache<string, number>({ max: options.size })
  const budget = createBudget(clock)

  return async (arn, kid) => {
    const seed = options.seeds.get(kid)
    if (seed !== undefined) {
      telemetry.keyLookup('alb', 'hit')
      return seed
    }
    const id = `${arn.region}/${kid}`
    const now = clock.monotonicMs()
    const entry = known.get(id)
    const age = entry === undefined ? Infinity : now - entry.fetchedAt
    if (entry !== undefined && age < options.ttlMs + options.staleMs) {
      const fresh = age < options.ttlMs
      telemetry.keyLookup('alb', fresh ? 'hit' : 'stale')
      if (!fresh) renew(id, arn, kid)
      return entry.key
    }

    const unknownSince = unknown.get(id)
    if (unknownSince !== undefined && now - unknownSince < options.negativeTtlMs) {
      telemetry.keyLookup('alb', 'negative')
      return { reason: 'key_unknown', detail: `the key endpoint does not know ${kid}` }
    }
    const underWay = flights.get(id)
    if (underWay === undefined && !budget()) {
      telemetry.keyLookup('alb', 'limited')
      return { reason: 'key_unavailable', detail: 'too many unknown keys asked for at once' }
    }
    telemetry.keyLookup('alb', 'miss')
    const fetched = await (underWay ?? fly(id, arn, kid))
    if (fetched.outcome === 'ok') return fetched.value
    const reason = fetched.outcome === 'unknown' ? 'key_unknown' : 'key_unavailable'
    return { reason, detail: `key ${kid}: ${fetched.detail}` }
  }

  /** One fetch a key at a time, however many wait for it. */
  function fly(id: string, arn: AlbArn, kid: string): Promise<Fetched<KeyObject>> {
    const flight = fetchAndKeep(id, options.urlOf(arn, kid)).finally(() => flights.delete(id))
    flights.set(id, flight)
    return flight
  }

  async function fetchAndKeep(id: string, url: string | undefined): Promise<Fetched<KeyObject>> {
    const startedAt = clock.monotonicMs()
    const fetched: Fetched<KeyObject> =
      url === undefined
        ? { outcome: 'error', detail: 'no key endpoint is known for this partition' }
        : await options.fetchKey(url)
    const now = clock.monotonicMs()
    const detail = fetched.outcome === 'ok' ? undefined : fetched.detail
    telemetry.keyFetched('alb', fetched.outcome, (now - startedAt) / 1000, detail)
    if (fetched.outcome === 'ok') {
      known.set(id, { key: fetched.value, fetchedAt: now })
      unknown.delete(id)
    } else if (fetched.outcome === 'unknown') {
      disown(id, now)
    }
    return fetched
  }

  /** A key that served until now is given up only when the endpoint insists: one 404 may be a fault. */
  function disown(id: string, now: number): void {
    const entry = known.peek(id)
    const serves = entry !== undefined && now - entry.fetchedAt < options.ttlMs + options.staleMs
    if (serves && now - (entry.disownedAt ?? now) < options.negativeTtlMs) {
      known.set(id, { disownedAt: now, ...entry })
      return
    }
    known.delete(id)
    unknown.set(id, now)
  }

  /** Behind the caller's back, at most once in {@link RENEWAL_PAUSE_MS} a key. */
  function renew(id: string, arn: AlbArn, kid: string): void {
    const now = clock.monotonicMs()
    if (flights.has(id) || now - (renewedAt.get(id) ?? -Infinity) < RENEWAL_PAUSE_MS) return
    renewedAt.set(id, now)
    void fly(id, arn, kid)
  }
}

/** A token bucket: each call takes one token, and is told whether there was one. */
function createBudget(clock: Clock): () => boolean {
  let tokens = BURST
  let filledAt = clock.monotonicMs()
  return () => {
    const now = clock.monotonicMs()
    tokens = Math.min(BURST, tokens + ((now - filledAt) / 1000) * REFILL_PER_SECOND)
    filledAt = now
    if (tokens < 1) return false
    tokens -= 1
    return true
  }
}
