/**
 * The ALB's side of the code flow: to the authorization endpoint, from code to tokens to claims, and
 * from refresh token to new ones. No PKCE and no nonce, as the ALB has none; the endpoints are told,
 * not discovered, as in the settings of an authenticate-oidc action.
 *
 * A failure becomes the status that the ALB answers: 561 when the provider answered with an error,
 * 500 when it did not answer in five seconds or the claims are too large, 401 when the user was denied
 * or there is no ID token.
 *
 * The ID token comes straight from the token endpoint, so its issuer and audience are looked at and its
 * signature is not (OpenID Connect Core §3.1.3.7); whether an ALB does more is not documented.
 *
 * @see AUTH and TRB in the README; RFC 6749 §4.1, §6
 */

import { decodeJwt, errors } from 'jose'
import type { Fields } from './signer.ts'

/** The settings of an authenticate-oidc action, under its names. */
export interface OidcSettings {
  readonly issuer: string
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly userInfoEndpoint: string
  readonly clientId: string
  readonly clientSecret: string
  /** Default `openid`. */
  readonly scope?: string
  /** AuthenticationRequestExtraParams. */
  readonly extraParams?: Readonly<Record<string, string>>
}

export interface Granted {
  readonly outcome: 'granted'
  readonly claims: Fields & { readonly sub: string }
  readonly accessToken: string
  readonly refreshToken?: string
  /** Seconds; `undefined` when the provider did not say. */
  readonly expiresIn?: number
}

/** `reason` is the error reason code of the access log where AWS has one. */
export interface Refused {
  readonly outcome: 'refused'
  readonly status: 401 | 500 | 561
  readonly reason: string
}

export interface OidcClient {
  /** Where to send a browser to sign in. */
  readonly authorizationUrl: (redirectUri: string, state: string) => string
  /** @param parameters What the provider sent the browser back with. */
  readonly redeem: (parameters: URLSearchParams, redirectUri: string) => Promise<Granted | Refused>
  /** @param subject Whom the session is of: the claims must be of the same. */
  readonly refresh: (refreshToken: string, subject: string) => Promise<Granted | Refused>
}

/** AUTH: user claims and access token together. */
export const MAX_CLAIMS_BYTES = 11 * 1024

const refused = (status: Refused['status'], reason: string): Refused => ({
  outcome: 'refused',
  status,
  reason,
})

/** A JSON object that an endpoint of the provider answered with. */
type Answer = { readonly outcome: 'answer'; readonly fields: Fields } | Refused

/** @param timeoutMs How long the provider's endpoints may take, each. */
export function createOidcClient(settings: OidcSettings, timeoutMs: number): OidcClient {
  const { clientId, clientSecret, scope = 'openid', extraParams = {} } = settings
  // RFC 6749 §2.3.1: each is form-encoded first.
  const credentials = [clientId, clientSecret].map(formEncoded).join(':')
  const basic = `Basic ${Buffer.from(credentials).toString('base64')}`

  const tokens = (parameters: Readonly<Record<string, string>>): Promise<Answer> =>
    askProvider('AuthTokenEpRequest', settings.tokenEndpoint, {
      timeoutMs,
      headers: { Authorization: basic },
      form: new URLSearchParams(parameters),
    })

  /** From a token endpoint's answer to the claims of the user. @param subject Whose they must be. */
  const complete = async (
    { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn }: Fields,
    subject: string,
  ): Promise<Granted | Refused> => {
    if (typeof accessToken !== 'string') return refused(561, 'AuthTokenEpRequestFailed')
    const answer = await askProvider('AuthUserinfoEpRequest', settings.userInfoEndpoint, {
      timeoutMs,
      headers: { Authorization: `Bearer ${accessToken}` },
    })
    if (answer.outcome === 'refused') return answer
    if (answer.fields['sub'] !== subject) return refused(561, 'AuthUserinfoEpRequestFailed')
    const claims = { ...answer.fields, sub: subject }
    if (Buffer.byteLength(JSON.stringify(claims)) + accessToken.length > MAX_CLAIMS_BYTES) {
      return refused(500, 'AuthUserinfoResponseSizeExceeded')
    }
    return {
      outcome: 'granted',
      claims,
      accessToken,
      ...(typeof refreshToken === 'string' && { refreshToken }),
      ...(typeof expiresIn === 'number' && { expiresIn }),
    }
  }

  return {
    authorizationUrl: (redirectUri, state) => {
      const url = new URL(settings.authorizationEndpoint)
      const parameters = {
        ...{ client_id: clientId, redirect_uri: redirectUri, response_type: 'code', scope, state },
        ...extraParams,
      }
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
      return url.href
    },

    redeem: async (parameters, redirectUri) => {
      const denied = parameters.get('error')
      if (denied !== null) return refused(denied === 'access_denied' ? 401 : 561, denied)
      const code = parameters.get('code')
      if (code === null) return refused(401, 'AuthMissingCode')
      const grant = { grant_type: 'authorization_code', code, redirect_uri: redirectUri }
      const answer = await tokens(grant)
      if (answer.outcome === 'refused') return answer
      const idToken = answer.fields['id_token']
      if (typeof idToken !== 'string') return refused(401, 'AuthMissingIdToken')
      const subject = subjectOf(idToken, settings)
      if (subject === undefined) return refused(561, 'AuthInvalidIdToken')
      return complete(answer.fields, subject)
    },

    refresh: async (refreshToken, subject) => {
      const answer = await tokens({ grant_type: 'refresh_token', refresh_token: refreshToken })
      if (answer.outcome === 'refused') return answer
      const granted = await complete(answer.fields, subject)
      // A provider that does not rotate refresh tokens sends none.
      return granted.outcome === 'granted' ? { refreshToken, ...granted } : granted
    },
  }
}

const formEncoded = (text: string): string =>
  new URLSearchParams({ '': text }).toString().slice('='.length)

interface Question {
  readonly timeoutMs: number
  readonly headers: Readonly<Record<string, string>>
  readonly form?: URLSearchParams
}

/** 561 when the provider answers anything but 200 and an object, 500 when it does not answer. */
async function askProvider(
  what: string,
  url: string,
  { timeoutMs, headers, form }: Question,
): Promise<Answer> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const response = await fetch(url, {
      ...(form && { method: 'POST', body: form }),
      headers: { Accept: 'application/json', ...headers },
      ...{ signal, redirect: 'error' },
    })
    const text = await response.text()
    if (response.status !== 200) return refused(561, `${what}Failed`)
    const fields: unknown = JSON.parse(text)
    return isFields(fields) ? { outcome: 'answer', fields } : refused(561, `${what}Failed`)
  } catch (error) {
    if (error instanceof SyntaxError) return refused(561, `${what}Failed`)
    // What fetch throws for a network's faults, and for the time-out.
    if (error instanceof TypeError) return refused(500, `${what}Failed`)
    if (error instanceof DOMException) return refused(500, `${what}Timeout`)
    throw error
  }
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

function subjectOf(idToken: string, { issuer, clientId }: OidcSettings): string | undefined {
  try {
    const { iss, aud, sub } = decodeJwt(idToken)
    return iss === issuer && [aud].flat().includes(clientId) ? sub : undefined
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined
    throw error
  }
}
