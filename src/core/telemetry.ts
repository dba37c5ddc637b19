/**
 * The port through which steps report what happens beside a request. `observe/` implements it, tests
 * record it; a request's own fate travels in its `Settled` record instead.
 */
import type { SourceName } from './verdict.ts'

/** Whose keys: the ALB's, one by one, or the identity provider's set. */
export type KeySource = 'alb' | 'jwks'
export const KEY_SOURCES: readonly KeySource[] = ['alb', 'jwks']

/** What a look-up found before any fetch. `limited`: the budget for unknown keys was spent. */
export type LookupResult = 'hit' | 'miss' | 'stale' | 'negative' | 'limited'
export const LOOKUP_RESULTS: readonly LookupResult[] = [
  'hit',
  'miss',
  'stale',
  'negative',
  'limited',
]

/**
 * How a fetch of keys ended. `unknown`: the endpoint says there is no such key; `refused`: it
 * answered with something we do not take for a key; `error`: it could not be asked.
 */
export type FetchOutcome = 'ok' | 'unknown' | 'error' | 'timeout' | 'refused'
export const FETCH_OUTCOMES: readonly FetchOutcome[] = [
  'ok',
  'unknown',
  'error',
  'timeout',
  'refused',
]

export type UpstreamErrorKind = 'unreachable' | 'timeout' | 'aborted' | 'saturated' | 'invalid'
export const UPSTREAM_ERROR_KINDS: readonly UpstreamErrorKind[] = [
  'unreachable',
  'timeout',
  'aborted',
  'saturated',
  'invalid',
]

export interface Telemetry {
  keyLookup(keys: KeySource, result: LookupResult): void
  /** @param detail What was wrong, for the log; absent when the outcome is `ok`. */
  keyFetched(keys: KeySource, outcome: FetchOutcome, seconds: number, detail?: string): void
  tokenCacheLookup(source: SourceName, result: 'hit' | 'miss'): void
  /** @param seconds `exp` minus now, at the verification; negative within the tolerance. */
  tokenVerified(source: SourceName, seconds: number): void
  upstreamFailed(kind: UpstreamErrorKind, detail: string): void
}
