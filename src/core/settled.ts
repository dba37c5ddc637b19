/**
 * What there is to know about a request once it is over: one record, filled by the pipeline, from
 * which metrics and the log line are made. Nothing in it may be a secret.
 */
import type { Rejected, Verdict } from './verdict.ts'

/** Why a header was removed; the label of `stripped_headers_total`. */
export type StrippedKind = 'oidc' | 'identity' | 'nonstandard' | 'listed'
export const STRIPPED_KINDS: readonly StrippedKind[] = ['oidc', 'identity', 'nonstandard', 'listed']
export type StrippedCounts = Readonly<Partial<Record<StrippedKind, number>>>

export interface Settled {
  /** Also the `X-Request-Id` of an answer of ours; worked out when somebody asks. */
  readonly requestId: () => string
  readonly method: string
  readonly route: 'open' | 'guarded'
  /** The rule that opened the path, as configured; an open path itself is never recorded. */
  readonly rule?: string | undefined
  /** A guarded path, without its query. */
  readonly path?: string | undefined
  readonly verdict: Verdict
  /** An invalid token that was taken out of a request which then went on as anonymous. */
  readonly ignored?: Rejected | undefined
  /** What `ENFORCEMENT=report` let through; the verdict is `anonymous` then. */
  readonly wouldReject?: Rejected | undefined
  readonly stripped: StrippedCounts
  /** Of the answer; absent when the client left before there was one. */
  readonly status?: number | undefined
  /** Whether the client left, or the application's answer broke off, before the end. */
  readonly cutShort: boolean
  readonly decisionSeconds: number
  readonly totalSeconds: number
  /** A fault of ours; logged with its stack. */
  readonly fault?: unknown
}
