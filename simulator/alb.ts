/**
 * An Application Load Balancer with authentication, as one stands in front of an application.
 *
 * A listener for HTTP, one for HTTPS if there is a certificate, rules, the authenticate action, a
 * target group. What is as on AWS, what is not, and what AWS does not say, is in the README; where it
 * says nothing, this one is the worse of the possible load balancers.
 */

import { randomBytes } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { errorAnswer, rawAnswer } from './alb-answers.ts'
import {
  type Admission,
  type AuthMetrics,
  type Authenticate,
  CALLBACK_PATH,
  createAuthenticate,
} from './authenticate.ts'
import type { KeyServer } from './key-server.ts'
import { type HeaderList, type Host, close, listen } from './loopback.ts'
import { type OidcSettings, createOidcClient } from './oidc-client.ts'
import { relay, relayUpgrade, sendAnswer } from './relay.ts'
import { MAX_REQUEST_HEADERS, addressed, limitBroken, replace } from './request-headers.ts'
import { type Action, type Rule, createRules } from './rules.ts'
import { DEFAULT_SESSION_COOKIE, createSessionCookies, parseCookies } from './session-cookie.ts'
import { type Signer, createSigner } from './signer.ts'
import { type Health, type HealthCheck, createTargetGroup } from './targets.ts'

export interface AlbOptions {
  /** Of the listeners; default 127.0.0.1. */
  readonly host?: Host
  /** Of the HTTP listener; default 0, any free one. AWS authenticates on HTTPS listeners only. */
  readonly port?: number
  /** A second listener. */
  readonly https?: { readonly port?: number; readonly key: string; readonly cert: string }
  /** Base URLs, `http:` or `https:`; more can be registered later. */
  readonly targets?: readonly string[]
  readonly signer: Signer
  /** Where the keys of {@link Alb.rotateKey} are published. */
  readonly keyServer?: Pick<KeyServer, 'publish'>
  readonly oidc: OidcSettings
  /** The first that matches decides. */
  readonly rules?: readonly Rule[]
  /** Default `authenticate`. */
  readonly defaultAction?: Action
  readonly normalizesPaths?: boolean
  /** SessionCookieName. */
  readonly sessionCookie?: string
  /** SessionTimeout, in seconds; default seven days. */
  readonly sessionTimeout?: number
  /** Default 60. */
  readonly idleTimeoutSeconds?: number
  /** How long the identity provider's endpoints may take; default 5, as on AWS. */
  readonly providerTimeoutSeconds?: number
  /** Default 300. */
  readonly deregistrationDelaySeconds?: number
  readonly healthCheck?: HealthCheck
  /**
   * `cognito`: `exp` and `iss` stand in the payload too, as seen in tokens of user pools. `generic`:
   * only in the header, which is all that the documentation promises.
   */
  readonly shape?: 'cognito' | 'generic'
  /** How long a token is good for; AWS does not say how long its own are. */
  readonly tokenSeconds?: number
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: () => number
}

export interface Alb {
  /** Of the HTTPS listener if there is one. */
  readonly url: string
  readonly httpUrl: string
  readonly metrics: Readonly<AuthMetrics>
  readonly register: (target: string) => void
  /** Resolves when the target has no requests any more, at the latest after the delay. */
  readonly deregister: (target: string) => Promise<void>
  readonly health: () => Readonly<Record<string, Health>>
  /** Signs with a new key under a new `kid` from now on. @returns The new signer. */
  readonly rotateKey: () => Signer
  readonly close: () => Promise<void>
}

const SESSION_SECONDS = 7 * 24 * 60 * 60
const NOT_IN_PAYLOAD = { exp: undefined, iss: undefined }

/** Starts listening, on 127.0.0.1 unless told otherwise. */
export async function startAlb(options: AlbOptions): Promise<Alb> {
  const { now = Date.now, shape = 'cognito', sessionTimeout = SESSION_SECONDS } = options
  const { sessionCookie = DEFAULT_SESSION_COOKIE } = options
  const idleTimeoutMs = (options.idleTimeoutSeconds ?? 60) * 1000
  const key = randomBytes(32)
  const oidc = createOidcClient(options.oidc, (options.providerTimeoutSeconds ?? 5) * 1000)
  const metrics: AuthMetrics = {
    ...{ ELBAuthSuccess: 0, ELBAuthFailure: 0, ELBAuthError: 0 },
    ...{ ELBAuthRefreshTokenSuccess: 0, ELBAuthUserClaimsSizeExceeded: 0 },
  }
  const decide = createRules({
    rules: options.rules ?? [],
    defaultAction: options.defaultAction ?? 'authenticate',
    normalizesPaths: options.normalizesPaths ?? false,
  })
  const group = createTargetGroup({
    targets: options.targets ?? [],
    ...(options.healthCheck && { healthCheck: options.healthCheck }),
    deregistrationDelayMs: (options.deregistrationDelaySeconds ?? 300) * 1000,
    idleTimeoutMs,
  })
  let { signer } = options

  /** The three headers of a request with a session. */
  function identityOf({ session }: Extract<Admission, { outcome: 'session' }>) {
    const { claims, accessToken } = session
    const exp = Math.floor(now() / 1000) + (options.tokenSeconds ?? 120)
    return {
      'x-amzn-oidc-accesstoken': accessToken,
      'x-amzn-oidc-identity': claims.sub,
      'x-amzn-oidc-data': signer.sign(claims, {
        header: { exp },
        payload: shape === 'cognito' ? { exp } : NOT_IN_PAYLOAD,
      }),
    }
  }

  /** What becomes of a request: an answer of ours, or headers to go on with. */
  async function judge(request: IncomingMessage, authenticate: Authenticate, isSecure: boolean) {
    const broken = limitBroken(request)
    if (broken !== undefined) return errorAnswer(broken)
    const { url: target = '/', headers } = request
    const visitor = {
      target,
      host: headers.host,
      cookies: parseCookies(headers.cookie === undefined ? [] : [headers.cookie]),
    }
    if (target.split('?', 1)[0] === CALLBACK_PATH) return authenticate.receive(visitor)
    const base = addressed(request, isSecure ? 'https' : 'http')
    const action = decide(target)
    const admission: Admission =
      action === 'forward' ? { outcome: 'anonymous' } : await authenticate.admit(visitor, action)
    if (admission.outcome === 'answered') return admission.answer
    const onward = (headers: HeaderList, setCookies: readonly string[]) => ({
      ...{ target: group.next(), headers, setCookies, idleTimeoutMs },
    })
    if (admission.outcome === 'anonymous') return onward(base, [])
    return onward(replace(base, identityOf(admission)), admission.setCookies)
  }

  const sockets = new Set<Duplex>()

  async function startListener(port: number, tls?: AlbOptions['https']) {
    const isSecure = tls !== undefined
    const cookies = createSessionCookies({ name: sessionCookie, isSecure, now, key })
    const authenticate = createAuthenticate({
      ...{ oidc, cookies, isSecure, sessionTimeout, now, metrics },
    })
    const limits = { maxHeaderSize: MAX_REQUEST_HEADERS, requestTimeout: 0 }
    const server = isSecure
      ? createSecureServer({ ...limits, key: tls.key, cert: tls.cert })
      : createServer(limits)
    server.keepAliveTimeout = idleTimeoutMs
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void judge(request, authenticate, isSecure).then(verdict => {
        if ('status' in verdict) sendAnswer(request, response, verdict)
        else relay(request, response, verdict)
      })
    })
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      sockets.add(socket.once('close', () => sockets.delete(socket)))
      socket.on('error', () => socket.destroy())
      void judge(request, authenticate, isSecure).then(verdict => {
        if ('status' in verdict) socket.end(rawAnswer(verdict))
        else relayUpgrade(request, socket, head, verdict)
      })
    })
    server.on('clientError', (_: Error, socket: Duplex) => {
      if (socket.writable) socket.end(rawAnswer(errorAnswer(400)))
      else socket.destroy()
    })
    return { server, url: await listen(server, port, isSecure ? 'https' : 'http', options.host) }
  }

  const http = await startListener(options.port ?? 0)
  const https = options.https && (await startListener(options.https.port ?? 0, options.https))

  return {
    url: https?.url ?? http.url,
    httpUrl: http.url,
    metrics,
    register: group.register,
    deregister: group.deregister,
    health: group.health,
    rotateKey: () => {
      const { arn, client, issuer } = signer
      signer = createSigner({ arn, client, issuer, now })
      options.keyServer?.publish(signer)
      return signer
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      group.close()
      await close(http.server)
      if (https !== undefined) await close(https.server)
    },
  }
}
