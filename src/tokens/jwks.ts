/**
 * The identity provider's public keys: found by discovery or at a given URL, renewed in the
 * background, and kept through an outage.
 *
 * A set that was read once stays good until a newer one replaces it, whatever fails in between; a key
 * that a newer set no longer lists is withdrawn at once, and with it every token that it vouched for.
 * Somebody who names unknown keys makes us ask at most once in {@link FORCED_PAUSE_MS}.
 *
 * @see RFC 7517, OpenID Connect Discovery 1.0 §4
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { expected } from '../core/expected.ts'
import { parseJson } from '../core/json.ts'
import type { FetchOutcome, Telemetry } from '../core/telemetry.ts'
import { quote } from '../core/verdict.ts'
import type { DocumentKind, Fetched } from './bounded-fetch.ts'
import type { KeyFault } from './alb-token.ts'

const MAX_BYTES = 262_144
const MAX_KEYS = 100
/** How often the set is read again, and how soon after a failed attempt. */
export const REFRESH_MS = 300_000
const RETRY_MS = 2_000
/** Pause between two renewals that unknown kids ask for. */
const FORCED_PAUSE_MS = 30_000

/** One key of a set. The object is the same for as long as renewals list the same key. */
export interface VerificationKey {
  readonly key: KeyObject
  /** The one algorithm that the set allows the key for, if it says. */
  readonly algorithm?: string
  /** Algorithm and public key as one text: what makes it the same key. */
  readonly thumbprint: string
  /** Whether a newer set no longer lists it. */
  isWithdrawn: boolean
}

/** A set as fetched: keys by `kid`. */
export type KeySet = ReadonlyMap<string, Omit<VerificationKey, 'isWithdrawn'>>

export interface JwksOptions {
  /** Where the set is, or where to ask for that. */
  readonly source: { readonly url: string } | { readonly issuer: string }
  /** How often the set is read again; {@link REFRESH_MS} but in tests. */
  readonly refreshMs: number
  readonly fetchSet: (url: string) => Promise<Fetched<KeySet>>
  readonly fetchDiscovery: (url: string) => Promise<Fetched<Discovery>>
  readonly clock: Clock
  readonly telemetry: Telemetry
}

export interface Jwks {
  /** The key of a `kid`, at once where it is known. */
  readonly find: (kid: string) => VerificationKey | Promise<VerificationKey | KeyFault>
  /** Whether a set was ever read. */
  readonly isLoaded: () => boolean
  /** Reads the set now, and again and again in the background; resolves after the first attempt. */
  readonly start: () => Promise<void>
}

export function createJwks(options: JwksOptions): Jwks {
  const { clock, telemetry, source } = options
  let keys: ReadonlyMap<string, VerificationKey> | undefined
  let triedAt = -Infinity
  let forcedAt = -Infinity
  let underWay: Promise<void> | undefined
  /** What went wrong at the last attempt; `undefined` when it went well. */
  let fault: string | undefined = 'not asked yet'

  return { isLoaded: () => keys !== undefined, find, start }

  async function start(): Promise<void> {
    await renew()
    setTimeout(() => void start(), fault === undefined ? options.refreshMs : RETRY_MS).unref()
  }

  function find(kid: string): VerificationKey | Promise<VerificationKey | KeyFault> {
    const known = keys?.get(kid)
    if (known === undefined) return findUnknown(kid)
    telemetry.keyLookup('jwks', fault === undefined ? 'hit' : 'stale')
    return known
  }

  /** An unknown kid is worth one look at a newer set; after a failed look, another one soon. */
  async function findUnknown(kid: string): Promise<VerificationKey | KeyFault> {
    const now = clock.monotonicMs()
    const isTooSoon =
      fault === undefined ? now - forcedAt < FORCED_PAUSE_MS : now - triedAt < RETRY_MS
    if (underWay === undefined && isTooSoon) {
      telemetry.keyLookup('jwks', fault === undefined ? 'negative' : 'limited')
      return faultOf(kid)
    }
    telemetry.keyLookup('jwks', 'miss')
    if (keys !== undefined) forcedAt = now
    await renew()
    return keys?.get(kid) ?? faultOf(kid)
  }

  /** Only a set that was read just now can say that there is no such key. */
  function faultOf(kid: string): KeyFault {
    if (fault !== undefined) return { reason: 'key_unavailable', detail: `JWKS: ${fault}` }
    return { reason: 'key_unknown', detail: `the JWKS does not list ${quote(kid, 64)}` }
  }

  /** One renewal at a time, however many wait for it. */
  function renew(): Promise<void> {
    underWay ??= fetchAndKeep().finally(() => {
      underWay = undefined
    })
    return underWay
  }

  async function fetchAndKeep(): Promise<void> {
    const startedAt = clock.monotonicMs()
    const fetched = await fetchKeys()
    triedAt = clock.monotonicMs()
    const seconds = (triedAt - startedAt) / 1000
    if (fetched.outcome === 'ok') {
      keys = succeed(keys, fetched.value)
      fault = undefined
      telemetry.keyFetched('jwks', 'ok', seconds)
      return
    }
    fault = fetched.detail
    telemetry.keyFetched('jwks', fetched.outcome, seconds, fetched.detail)
  }

  async function fetchKeys(): Promise<Fetched<KeySet>> {
    if ('url' in source) return options.fetchSet(source.url)
    const discovered = await options.fetchDiscovery(discoveryUrl(source.issuer))
    if (discovered.outcome !== 'ok') return discovered
    const { issuer, jwksUri } = discovered.value
    if (issuer !== source.issuer) return refused('the discovery document names another issuer')
    if (!isSafeSuccessor(source.issuer, jwksUri)) return refused('jwks_uri is not https')
    return options.fetchSet(jwksUri)
  }
}

function refused(detail: string): { outcome: Exclude<FetchOutcome, 'ok'>; detail: string } {
  return { outcome: 'refused', detail }
}

/** Keeps the objects of keys that stay, and withdraws those that do not. */
function succeed(
  before: ReadonlyMap<string, VerificationKey> | undefined,
  set: KeySet,
): ReadonlyMap<string, VerificationKey> {
  const after = new Map<string, VerificationKey>()
  for (const [kid, listed] of set) {
    const old = before?.get(kid)
    const isSame = old?.thumbprint === listed.thumbprint
    after.set(kid, isSame ? old : { ...listed, isWithdrawn: false })
  }
  for (const [kid, old] of before ?? []) if (after.get(kid) !== old) old.isWithdrawn = true
  return after
}

/** @see OpenID Connect Discovery 1.0 §4.1: a trailing slash is removed first */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
}

/** A document may send us on only to `https:`, or to where it came from over loopback. */
function isSafeSuccessor(from: string, to: string): boolean {
  if (to.startsWith('https://')) return true
  return from.startsWith('http://') && URL.canParse(to) && new URL(to).host === new URL(from).host
}

export interface Discovery {
  readonly issuer: string
  readonly jwksUri: string
}

export const DISCOVERY: DocumentKind<Discovery> = {
  maxBytes: MAX_BYTES,
  parse(text) {
    const document = parseJson(text)
    const issuer = memberOf(document, 'issuer')
    const jwksUri = memberOf(document, 'jwks_uri')
    if (typeof issuer !== 'string' || typeof jwksUri !== 'string') return 'no discovery document'
    return { issuer, jwksUri }
  },
}

export const KEY_SET: DocumentKind<KeySet> = {
  maxBytes: MAX_BYTES,
  parse(text) {
    const members = memberOf(parseJson(text), 'keys')
    if (!Array.isArray(members)) return 'no key set'
    if (members.length > MAX_KEYS) return `more than ${MAX_KEYS} keys`
    const set = new Map<string, Omit<VerificationKey, 'isWithdrawn'>>()
    for (const jwk of members) {
      const kid = memberOf(jwk, 'kid')
      const key = isForSigning(jwk) ? importPublic(jwk) : undefined
      // The first of two keys under one name: a set that is ambiguous must not become so by its end.
      if (typeof kid !== 'string' || key === undefined || set.has(kid)) continue
      const algorithm = memberOf(jwk, 'alg')
      const named = typeof algorithm === 'string' ? { algorithm } : {}
      const pem = key.export({ type: 'spki', format: 'pem' }).toString()
      set.set(kid, { key, ...named, thumbprint: `${named.algorithm ?? ''} ${pem}` })
    }
    return set.size > 0 ? set : 'no usable key in the set'
  },
}

/** @see RFC 7517 §4.2, §4.3 */
function isForSigning(jwk: unknown): jwk is object {
  const use = memberOf(jwk, 'use')
  const operations = memberOf(jwk, 'key_ops')
  const kty = memberOf(jwk, 'kty')
  const mayVerify = !Array.isArray(operations) || operations.includes('verify')
  return (
    (use === undefined || use === 'sig') && mayVerify && typeof kty === 'string' && kty !== 'oct'
  )
}

/** A key of a kind that {@link suits} knows; anything else in a set is somebody else's. */
function importPublic(jwk: object): KeyObject | undefined {
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' })
  } catch (error) {
    expected(error, Error)
    return undefined
  }
}

/**
 * Whether a key is of the kind that an algorithm takes, and strong enough for it (RFC 7518 §3.3).
 * Asked before a signature is checked: OpenSSL takes any key for any algorithm of its kind.
 */
export function suits(key: KeyObject, algorithm: string): boolean {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  switch (algorithm.slice(0, 2)) {
    case 'RS':
    case 'PS':
      return key.asymmetricKeyType === 'rsa' && modulusLength >= 2048
    case 'ES':
      return key.asymmetricKeyType === 'ec' && CURVES[algorithm] === namedCurve
    default:
      return key.asymmetricKeyType === 'ed25519'
  }
}

const CURVES: Readonly<Record<string, string>> = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  ES512: 'secp521r1',
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  const member: unknown = Object.getOwnPropertyDescriptor(value, name)?.value
  return member
}
