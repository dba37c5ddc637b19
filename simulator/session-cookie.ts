/**
 * The ALB's session cookie: encrypted, tampering is noticed, split into up to four shards of 4 KB.
 *
 * A shard that a longer session left behind is expired when a shorter one is set. What cannot be
 * decrypted, or is of another load balancer, is no session.
 *
 * @see AUTH in the README, "Authentication flow" step 8, "Cookies"
 */

import { randomBytes } from 'node:crypto'
import { EncryptJWT, errors, jwtDecrypt } from 'jose'
import type { Fields } from './signer.ts'

export interface Session {
  readonly claims: Fields & { readonly sub: string }
  readonly accessToken: string
  readonly refreshToken?: string
  /** Milliseconds since 1970; absent when the provider did not say. */
  readonly accessTokenExpiresAt?: number
  /** Milliseconds since 1970: the session time-out counts from here, refresh or not. */
  readonly startedAt: number
}

export interface SessionCookies {
  /** The values of `Set-Cookie` headers that make this the session; `undefined` when it is too large. */
  readonly write: (session: Session, requestCookies: Cookies) => Promise<string[] | undefined>
  readonly read: (requestCookies: Cookies) => Promise<Session | undefined>
  /** Whether the request names any shard, whatever is in it. */
  readonly arePresent: (requestCookies: Cookies) => boolean
  /** Encrypts what is handed to the browser for the way to the provider and back. */
  readonly seal: (fields: Fields, lifetimeSeconds: number) => Promise<string>
  /** `undefined` when it is not ours, `expired` when it is too old. */
  readonly open: (sealed: string) => Promise<Fields | 'expired' | undefined>
}

/** Cookies by name; of duplicates the first. */
export type Cookies = ReadonlyMap<string, string>

export interface SessionCookieOptions {
  /** SessionCookieName; default as on AWS. */
  readonly name?: string
  /** Whether the listener is HTTPS: `Secure`, and `SameSite=None`, need that. */
  readonly isSecure: boolean
  readonly now: () => number
  /** 32 bytes. Default: new ones, so that no session survives a restart. */
  readonly key?: Uint8Array
}

export const DEFAULT_SESSION_COOKIE = 'AWSELBAuthSessionCookie'
/** AUTH: the attribute is always seven days; the real end is inside. */
const COOKIE_SECONDS = 7 * 24 * 60 * 60
/** An expired session is still known to be one. */
const RECOGNISED_SECONDS = 10 * COOKIE_SECONDS
const MAX_SHARDS = 4
/** What browsers take for name, `=` and value. */
const SHARD_BYTES = 4096

/** Reads `Cookie` header values. */
export function parseCookies(headers: readonly string[]): Cookies {
  const cookies = new Map<string, string>()
  for (const pair of headers.flatMap(header => header.split(/; */))) {
    const at = pair.indexOf('=')
    const name = pair.slice(0, Math.max(at, 0)).trim()
    if (name !== '' && !cookies.has(name)) cookies.set(name, pair.slice(at + 1).trim())
  }
  return cookies
}

/** The attributes of every cookie the load balancer sets. */
export const cookieAttributes = (isSecure: boolean, now: number, seconds = COOKIE_SECONDS) =>
  `; Expires=${new Date(now + seconds * 1000).toUTCString()}; Path=/; HttpOnly${isSecure ? '; Secure; SameSite=None' : ''}`

export function createSessionCookies({
  name = DEFAULT_SESSION_COOKIE,
  isSecure,
  now,
  key = randomBytes(32),
}: SessionCookieOptions): SessionCookies {
  const shards = Array.from({ length: MAX_SHARDS }, (_, i) => `${name}-${i}`)

  const seal: SessionCookies['seal'] = (fields, lifetimeSeconds) =>
    new EncryptJWT({ ...fields })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setExpirationTime(Math.floor(now() / 1000) + lifetimeSeconds)
      .encrypt(key)

  const open: SessionCookies['open'] = async sealed => {
    try {
      return (await jwtDecrypt(sealed, key, { currentDate: new Date(now()) })).payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) return 'expired'
      if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined
      throw error
    }
  }

  return {
    seal,
    open,
    arePresent: cookies => shards.some(shard => cookies.has(shard)),
    write: async (session, cookies) => {
      const text = await seal({ ...session, kind: 'session' }, RECOGNISED_SECONDS)
      const room = SHARD_BYTES - `${name}-0=`.length
      if (text.length > room * MAX_SHARDS) return undefined
      return shards.flatMap((shard, i) => {
        const value = text.slice(i * room, (i + 1) * room)
        if (value !== '') return `${shard}=${value}${cookieAttributes(isSecure, now())}`
        return cookies.has(shard) ? `${shard}=${cookieAttributes(isSecure, 0, 0)}` : []
      })
    },
    read: async cookies => {
      const text = shards.map(shard => cookies.get(shard) ?? '').join('')
      return text === '' ? undefined : asSession(await open(text))
    },
  }
}

function asSession(fields: Fields | 'expired' | undefined): Session | undefined {
  if (fields === undefined || fields === 'expired' || fields['kind'] !== 'session') return undefined
  const { claims, accessToken, refreshToken, accessTokenExpiresAt, startedAt } = fields
  if (!hasSubject(claims) || typeof accessToken !== 'string' || typeof startedAt !== 'number') {
    return undefined
  }
  return {
    claims,
    accessToken,
    startedAt,
    ...(typeof refreshToken === 'string' && { refreshToken }),
    ...(typeof accessTokenExpiresAt === 'number' && { accessTokenExpiresAt }),
  }
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

const hasSubject = (value: unknown): value is Session['claims'] =>
  isFields(value) && typeof value['sub'] === 'string'
