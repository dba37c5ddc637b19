/**
 * The authenticate action: is there a session, does it need a refresh, where to sign in, and what to
 * make of a browser that comes back from the identity provider.
 *
 * @see AUTH in the README, "Authentication flow", "Session timeout", "Client login timeout"
 */

import { createHash, randomBytes } from 'node:crypto'
import { type AlbAnswer, errorAnswer, redirectAnswer } from './alb-answers.ts'
import type { Granted, OidcClient, Refused } from './oidc-client.ts'
import type { Action } from './rules.ts'
import {
  type Cookies,
  type Session,
  type SessionCookies,
  cookieAttributes,
} from './session-cookie.ts'

/** Under the names of the CloudWatch metrics. */
export interface AuthMetrics {
  ELBAuthSuccess: number
  ELBAuthFailure: number
  ELBAuthError: number
  ELBAuthRefreshTokenSuccess: number
  ELBAuthUserClaimsSizeExceeded: number
}

export interface AuthenticateOptions {
  readonly oidc: OidcClient
  readonly cookies: SessionCookies
  readonly isSecure: boolean
  /** SessionTimeout, in seconds. */
  readonly sessionTimeout: number
  readonly now: () => number
  readonly metrics: AuthMetrics
}

export interface Visitor {
  readonly cookies: Cookies
  /** `Host`; `undefined` when an HTTP/1.0 client left it out. */
  readonly host: string | undefined
  /** The request target. */
  readonly target: string
}

export type Admission =
  /** @property setCookies Goes to the client with whatever the target answers. */
  | {
      readonly outcome: 'session'
      readonly session: Session
      readonly setCookies: readonly string[]
    }
  | { readonly outcome: 'anonymous' }
  | { readonly outcome: 'answered'; readonly answer: AlbAnswer }

export interface Authenticate {
  readonly admit: (visitor: Visitor, action: Exclude<Action, 'forward'>) => Promise<Admission>
  /** Answers {@link CALLBACK_PATH}. */
  readonly receive: (visitor: Visitor) => Promise<AlbAnswer>
}

/** Where the identity provider sends the browser back to. */
export const CALLBACK_PATH = '/oauth2/idpresponse'
export const NONCE_COOKIE = 'AWSALBAuthNonce'
/** AUTH, "Client login timeout". */
const LOGIN_SECONDS = 15 * 60
const answered = (answer: AlbAnswer): Admission => ({ outcome: 'answered', answer })

export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  const { oidc, cookies: jar, isSecure, now, metrics } = options
  /** Refreshes under way, by refresh token: a page's many requests make one. */
  const refreshing = new Map<string, Promise<Granted | Refused>>()

  const originOf = (host: string) => `${isSecure ? 'https' : 'http'}://${host}`

  async function signIn({ cookies, host, target }: Visitor): Promise<AlbAnswer> {
    // TRB, 401: there is nothing to make a redirect URL of.
    if (host === undefined) return errorAnswer(401)
    const nonce = cookies.get(NONCE_COOKIE) ?? randomBytes(16).toString('base64url')
    const state = await jar.seal({ kind: 'state', target, nonce: digest(nonce) }, LOGIN_SECONDS)
    const url = oidc.authorizationUrl(`${originOf(host)}${CALLBACK_PATH}`, state)
    return redirectAnswer(url, [`${NONCE_COOKIE}=${nonce}${cookieAttributes(isSecure, now())}`])
  }

  async function establish(granted: Granted, startedAt: number, cookies: Cookies) {
    const { claims, accessToken, refreshToken, expiresIn } = granted
    const session: Session = {
      ...{ claims, accessToken, startedAt },
      ...(refreshToken !== undefined && { refreshToken }),
      ...(expiresIn !== undefined && { accessTokenExpiresAt: now() + expiresIn * 1000 }),
    }
    return { session, setCookies: await jar.write(session, cookies) }
  }

  function refuse({ status, reason }: Refused): AlbAnswer {
    if (reason === 'AuthUserinfoResponseSizeExceeded') metrics.ELBAuthUserClaimsSizeExceeded++
    else if (status === 401) metrics.ELBAuthFailure++
    else metrics.ELBAuthError++
    return errorAnswer(status)
  }

  function refresh(refreshToken: string, subject: string): Promise<Granted | Refused> {
    const underWay = refreshing.get(refreshToken)
    if (underWay !== undefined) return underWay
    const started = oidc.refresh(refreshToken, subject).finally(() => {
      refreshing.delete(refreshToken)
    })
    refreshing.set(refreshToken, started)
    return started
  }

  return {
    async admit(visitor, action) {
      const { cookies } = visitor
      const session = await jar.read(cookies)
      if (session === undefined) {
        if (action === 'allow') return { outcome: 'anonymous' }
        return answered(action === 'deny' ? errorAnswer(401) : await signIn(visitor))
      }
      const { accessTokenExpiresAt = Number.POSITIVE_INFINITY, refreshToken, startedAt } = session
      if (now() >= startedAt + options.sessionTimeout * 1000) {
        // An expired session is sent to sign in by `deny` too.
        if (action === 'allow') return { outcome: 'anonymous' }
        return answered(await signIn(visitor))
      }
      // Without a refresh token the session goes on, with an access token that has expired.
      if (now() < accessTokenExpiresAt || refreshToken === undefined) {
        return { outcome: 'session', session, setCookies: [] }
      }
      const granted = await refresh(refreshToken, session.claims.sub)
      if (granted.outcome === 'refused') return answered(await signIn(visitor))
      metrics.ELBAuthRefreshTokenSuccess++
      const renewed = await establish(granted, startedAt, cookies)
      if (renewed.setCookies === undefined) return answered(errorAnswer(500))
      return { outcome: 'session', session: renewed.session, setCookies: renewed.setCookies }
    },

    async receive({ cookies, host, target }) {
      const { searchParams } = new URL(target, 'http://alb')
      const state = await jar.open(searchParams.get('state') ?? '')
      const isLate = state === 'expired'
      const nonce = cookies.get(NONCE_COOKIE)
      const isOurs =
        state !== undefined &&
        !isLate &&
        state['kind'] === 'state' &&
        nonce !== undefined &&
        state['nonce'] === digest(nonce)
      if (!isOurs || host === undefined) {
        metrics.ELBAuthFailure++
        return errorAnswer(401)
      }
      const granted = await oidc.redeem(searchParams, `${originOf(host)}${CALLBACK_PATH}`)
      if (granted.outcome === 'refused') return refuse(granted)
      const { setCookies } = await establish(granted, now(), cookies)
      if (setCookies === undefined) {
        metrics.ELBAuthUserClaimsSizeExceeded++
        return errorAnswer(500)
      }
      metrics.ELBAuthSuccess++
      const back = typeof state['target'] === 'string' ? state['target'] : '/'
      return redirectAnswer(`${originOf(host)}${back}`, setCookies)
    },
  }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')
