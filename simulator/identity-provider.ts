/**
 * An OpenID provider on loopback, with users, groups and passwords: oidc-provider behind two pages.
 *
 * It signs people in and out, gives JWT or opaque access tokens in the shape of a Cognito user pool or
 * of no vendor in particular, and lets them expire after as many seconds as a test can wait. Whoever
 * is signed in has consented to everything. Its userinfo endpoint takes its own JWT access tokens, as
 * the ALB needs it to; oidc-provider alone refuses a token made for a resource.
 */

import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import {
  type CryptoKey,
  SignJWT,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  jwtVerify,
} from 'jose'
import Provider, { type Configuration, type KoaContextWithOIDC } from 'oidc-provider'
import { createIdpStore } from './idp-store.ts'
import { signInPage, signOutPage } from './idp-pages.ts'
import { type Host, close, listen } from './loopback.ts'
import type { Fields } from './signer.ts'

export interface Person {
  readonly password: string
  readonly groups: readonly string[]
  /** What userinfo says; `sub` is what the provider knows them by. */
  readonly claims: Fields & { readonly sub: string }
}

/** What can be changed while it runs; a change concerns the tokens given from then on. */
export interface IdpSettings {
  /** `jwt`: signed, RS256, with the groups inside. `opaque`: a random text. */
  accessToken: 'jwt' | 'opaque'
  /** `cognito`: `token_use`, `client_id`, `cognito:groups` and no `aud`. */
  shape: 'generic' | 'cognito'
  accessTokenSeconds: number
  refreshTokens: boolean
  /** Padding for tests of sizes: the access token gets a claim of so many bytes. */
  bloatBytes: number
}

export interface IdentityProviderOptions {
  /** Default 127.0.0.1. */
  readonly host?: Host
  /** Default 0: any free one. */
  readonly port?: number
  /** By the name they sign in with. */
  readonly users: Readonly<Record<string, Person>>
  readonly settings?: Partial<IdpSettings>
}

export interface IdpClient {
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUris: readonly string[]
  readonly postLogoutRedirectUris?: readonly string[]
}

export interface IdentityProvider {
  readonly issuer: string
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly userInfoEndpoint: string
  readonly endSessionEndpoint: string
  readonly settings: IdpSettings
  /** Method and path, without the query, of every request so far. */
  readonly requests: readonly string[]
  readonly register: (client: IdpClient) => void
  /** Signs everybody out and makes every refresh token useless. */
  readonly forgetSessions: () => void
  readonly close: () => Promise<void>
}

/** What an access token is for. */
const RESOURCE = 'urn:simulator:application'
const SCOPES = 'openid email profile groups'
const SESSION_SECONDS = 14 * 24 * 60 * 60
const INTERACTION = /^\/interaction\/([\w-]+)$/
const MAX_FORM_BYTES = 8192

/** Starts listening, on 127.0.0.1 unless told otherwise; plain HTTP. */
export async function startIdentityProvider({
  host = '127.0.0.1',
  port = 0,
  users,
  settings: given = {},
}: IdentityProviderOptions): Promise<IdentityProvider> {
  const settings: IdpSettings = {
    accessToken: 'jwt',
    shape: 'generic',
    accessTokenSeconds: 3600,
    refreshTokens: true,
    bloatBytes: 0,
    ...given,
  }
  const store = createIdpStore()
  const requests: string[] = []
  const bySubject = new Map(Object.values(users).map(person => [person.claims.sub, person]))

  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = { ...(await exportJWK(privateKey)), kid: 'simulator-1', alg: 'RS256', use: 'sig' }

  // The issuer is known once somebody listens; until then nobody can ask.
  const server = createServer((request, response) => {
    void handle(request, response)
  })
  // Another host than the load balancer's, so that browsers keep their cookies apart.
  const issuer = (await listen(server, port, 'http', host)).replace('127.0.0.1', 'localhost')
  const provider = new Provider(issuer, {
    adapter: store.adapter,
    ...configurationOf(settings, bySubject),
    jwks: { keys: [jwk] },
  })
  provider.use(async (ctx, next) => {
    await next()
    const body: unknown = ctx.body
    if (ctx.path === '/token' && settings.shape === 'cognito' && hasAccessToken(body)) {
      body.access_token = await withoutAudience(body.access_token, privateKey)
    }
  })
  const callback = provider.callback()

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = (request.url ?? '').split('?', 1)
    requests.push(`${request.method ?? ''} ${path}`)
    const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(
      request.headers.authorization ?? '',
    )?.[1]
    if (path === '/me' && token !== undefined) await answerUserinfo(token, response)
    else if (INTERACTION.test(path)) await interact(request, response)
    else await callback(request, response)
  }

  async function answerUserinfo(token: string, response: ServerResponse): Promise<void> {
    const subject = await jwtVerify(token, publicKey, { issuer }).then(
      ({ payload }) => payload.sub ?? '',
      () => '',
    )
    const person = bySubject.get(subject)
    if (person === undefined) {
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end()
      return
    }
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(userinfoOf(person, settings)))
  }

  async function interact(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await provider.interactionDetails(request, response)
    } catch {
      send(response, 400, signInPage('This sign-in is over. Go back to where you came from.'))
      return
    }
    if (request.method !== 'POST') {
      send(response, 200, signInPage())
      return
    }
    const form = new URLSearchParams(await bodyOf(request))
    const name = form.get('name') ?? ''
    const person = Object.hasOwn(users, name) ? users[name] : undefined
    if (person === undefined || form.get('password') !== person.password) {
      send(response, 401, signInPage('That name and password do not go together.'))
      return
    }
    const login = { accountId: person.claims.sub }
    await provider.interactionFinished(request, response, { login })
  }

  return {
    issuer,
    authorizationEndpoint: `${issuer}/auth`,
    tokenEndpoint: `${issuer}/token`,
    userInfoEndpoint: `${issuer}/me`,
    endSessionEndpoint: `${issuer}/session/end`,
    settings,
    requests,
    register: ({ clientId, clientSecret, redirectUris, postLogoutRedirectUris = [] }) => {
      store.registerClient(clientId, {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [...redirectUris],
        post_logout_redirect_uris: [...postLogoutRedirectUris],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      })
    },
    forgetSessions: store.forget,
    close: () => close(server),
  }
}

function configurationOf(
  settings: IdpSettings,
  bySubject: ReadonlyMap<string, Person>,
): Configuration {
  return {
    scopes: SCOPES.split(' '),
    claims: {
      email: ['email', 'email_verified'],
      profile: ['name', 'username'],
      groups: ['groups'],
    },
    // An ALB knows neither PKCE nor nonce.
    pkce: { required: () => false },
    conformIdTokenClaims: false,
    cookies: { keys: [crypto.randomUUID()], long: { sameSite: 'lax' } },
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    ttl: {
      AccessToken: () => settings.accessTokenSeconds,
      IdToken: () => settings.accessTokenSeconds,
      AuthorizationCode: 60,
      Interaction: 900,
      Grant: SESSION_SECONDS,
      RefreshToken: SESSION_SECONDS,
      Session: SESSION_SECONDS,
    },
    findAccount: (_, sub) => {
      const person = bySubject.get(sub)
      if (person === undefined) return undefined
      return { accountId: sub, claims: () => ({ ...userinfoOf(person, settings), sub }) }
    },
    loadExistingGrant: consentTo,
    issueRefreshToken: () => settings.refreshTokens,
    rotateRefreshToken: false,
    // Who signs out here is signed out everywhere: the refresh fails.
    expiresWithSession: () => true,
    extraTokenClaims: (_, token) => {
      if (!('accountId' in token)) return {}
      const groups = [...(bySubject.get(token.accountId)?.groups ?? [])]
      const bloat = settings.bloatBytes > 0 ? { bloat: 'x'.repeat(settings.bloatBytes) } : {}
      if (settings.shape === 'generic') return { groups, ...bloat }
      return { 'cognito:groups': groups, token_use: 'access', ...bloat }
    },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => (settings.accessToken === 'jwt' ? RESOURCE : undefined),
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: SCOPES,
          accessTokenFormat: 'jwt',
          accessTokenTTL: settings.accessTokenSeconds,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.type = 'html'
          ctx.body = signOutPage(form)
        },
      },
    },
  }
}

/** Whatever a client asks of somebody who is signed in is granted. */
async function consentTo(ctx: KoaContextWithOIDC) {
  const { client, session, params, provider } = ctx.oidc
  if (client === undefined || session?.accountId === undefined) return undefined
  const grantId = session.grantIdFor(client.clientId)
  const known = grantId === undefined ? undefined : await provider.Grant.find(grantId)
  const grant =
    known ?? new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  const scope = typeof params?.['scope'] === 'string' ? params['scope'] : 'openid'
  grant.addOIDCScope(scope)
  grant.addResourceScope(RESOURCE, scope)
  await grant.save()
  return grant
}

const hasAccessToken = (body: unknown): body is { access_token: string } =>
  isObject(body) && typeof body['access_token'] === 'string'

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null

/** A user pool's access token names no audience, which oidc-provider would not sign. */
async function withoutAudience(token: string, key: CryptoKey): Promise<string> {
  if (token.split('.').length !== 3) return token
  const { kid, alg = '' } = decodeProtectedHeader(token)
  const { aud, ...payload } = decodeJwt(token)
  const header = kid === undefined ? { alg } : { kid, alg }
  return aud === undefined ? token : new SignJWT(payload).setProtectedHeader(header).sign(key)
}

/** Cognito says `"true"` where others say `true`, and keeps groups to the access token. */
function userinfoOf({ claims, groups }: Person, { shape }: IdpSettings): Fields & { sub: string } {
  if (shape === 'generic') return { ...claims, groups }
  const texts: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(claims)) {
    texts[name] = typeof value === 'boolean' ? String(value) : value
  }
  return { ...texts, sub: claims.sub, username: claims.sub }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) {
    body += String(chunk)
    if (body.length > MAX_FORM_BYTES) return ''
  }
  return body
}

function send(response: ServerResponse, status: number, body: string): void {
  response
    .writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' })
    .end(body)
}
