/**
 * Removes everything a client must not be able to say for itself, on every path.
 *
 * Three ways in are closed: the name itself; its twins, because WSGI and CGI read `X_Auth_User` and
 * `X-Auth-User` as one variable; and naming our header in `Connection`, which would have the next hop
 * drop it as hop-by-hop (RFC 9110 §7.6.1): what was named is removed here, what we assert is added
 * afterwards.
 */
import {
  HOP_BY_HOP,
  OIDC_HEADERS,
  OIDC_PREFIX,
  connectionOptions,
  fold,
  textAt,
  type HeaderList,
  type ReceivedHeaders,
  type ScrubbedHeaders,
} from '../core/headers.ts'
import { remembered } from '../core/remembered.ts'
import type { StrippedCounts, StrippedKind } from '../core/settled.ts'
import { rejected, type Rejected } from '../core/verdict.ts'
import { withoutCookies, ownedCookies } from './cookies.ts'

export interface ScrubOptions {
  /** Header names that we inject. Removed in every spelling, whoever sends them. */
  readonly owned: readonly string[]
  /** `STRIP_REQUEST_HEADERS`. */
  readonly listed: readonly string[]
  /** What happens to names outside `[A-Za-z0-9-]+`. */
  readonly nonstandard: 'drop' | 'reject' | 'keep'
  /** The ALB's session cookie, whose shards are removed everywhere. */
  readonly sessionCookie: string
  /** Cookies of our own, removed everywhere. */
  readonly ownCookies: readonly string[]
  /** Cookies removed on guarded paths, where they would outrank the ALB's identity. */
  readonly guardedCookies: readonly string[]
}

export interface Scrubbed {
  readonly headers: ScrubbedHeaders
  /** What was removed, but for the ALB's own three headers in their own spelling. */
  readonly stripped: StrippedCounts
  /** How many of the ALB's own three were taken out, to be put back only when verified. */
  readonly claimed: number
}

/** Removed with the session cookie: both are between the browser and the ALB. */
const NONCE_COOKIE = 'AWSALBAuthNonce'

/** Framing is rebuilt by `forward`; nothing that reads like it may pass under another spelling. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'expect', ...HOP_BY_HOP])

/**
 * What `Connection` may not take away, since the load balancer said it or the application cannot do
 * without. The rest of what a client names there it could as well not have sent.
 */
const KEPT_FROM_CONNECTION = /^(?:host$|x-forwarded-|x-amzn-)/

type Fate = 'keep' | 'drop' | 'claimed' | StrippedKind

/**
 * @returns A function of the admitted headers and the route that keeps, in order and as spelled, what
 * may pass; or refuses the request for a header name where `nonstandard` is `reject`.
 */
export function createScrub(
  options: ScrubOptions,
): (headers: ReceivedHeaders, route: 'open' | 'guarded') => Scrubbed | Rejected {
  const owned = new Set(options.owned.map(fold))
  const listed = new Set(options.listed.map(fold))
  const always = [NONCE_COOKIE, ...options.ownCookies]
  const cookies = {
    open: ownedCookies(always, options.sessionCookie),
    guarded: ownedCookies([...always, ...options.guardedCookies], options.sessionCookie),
  }

  const fateOf = remembered(workOut)

  return (headers, route) => {
    const named = connectionOptions(headers)
    const kept: string[] = []
    const stripped: Partial<Record<StrippedKind, number>> = {}
    let claimed = 0
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = textAt(headers, i)
      const value = textAt(headers, i + 1)
      let fate = fateOf(name)
      if (fate === 'keep' && named.size > 0 && isNamed(name.toLowerCase(), named)) fate = 'drop'
      if (fate === 'nonstandard' && options.nonstandard === 'reject') {
        return rejected('malformed_request', { detail: 'a header name outside [A-Za-z0-9-]' })
      }
      if (fate === 'drop') continue
      if (fate === 'claimed') {
        claimed++
        continue
      }
      if (fate !== 'keep') {
        stripped[fate] = (stripped[fate] ?? 0) + 1
        continue
      }
      const left = isCookie(name) ? withoutCookies(value, cookies[route]) : value
      if (left !== '' || value === '') kept.push(name, left)
    }
    return { headers: asScrubbed(kept), stripped, claimed }
  }

  function workOut(name: string): Fate {
    const lower = name.toLowerCase()
    const folded = fold(lower)
    const standard = /^[a-z0-9-]+$/.test(lower)
    if (!standard && options.nonstandard === 'reject') return 'nonstandard'
    if (folded.startsWith(OIDC_PREFIX)) return OIDC_HEADERS.includes(lower) ? 'claimed' : 'oidc'
    if (owned.has(folded)) return 'identity'
    if (FRAMING.has(folded)) return 'drop'
    if (listed.has(folded)) return 'listed'
    return !standard && options.nonstandard === 'drop' ? 'nonstandard' : 'keep'
  }
}

function isNamed(lower: string, named: ReadonlySet<string>): boolean {
  return named.has(lower) && !KEPT_FROM_CONNECTION.test(lower)
}

function isCookie(name: string): boolean {
  return name.length === 6 && name.toLowerCase() === 'cookie'
}

function asScrubbed(list: HeaderList): ScrubbedHeaders {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-type-assertion -- the one place that makes the brand
  return list as ScrubbedHeaders
}
