/**
 * A small Application Load Balancer with authentication, as one in front of the sidecar behaves.
 *
 * Where AWS documents nothing, this one is the worse of the possible load balancers: a rule that only
 * forwards passes client-sent `x-amzn-oidc-*` on, header names with underscores pass everywhere, and
 * rules look at the path as it was sent. The identity provider is a page of its own with no password.
 */

import { randomBytes } from 'node:crypto'
import {
  Agent,
  type IncomingMessage,
  type ServerResponse,
  createServer,
  request as startRequest,
} from 'node:http'
import { pipeline } from 'node:stream'
import { html, page } from './html.ts'
import { type HeaderList, close, headerList, listen } from './loopback.ts'
import type { Fields, Signer } from './signer.ts'

export interface Rule {
  /** Path pattern in the ALB's language: `*` is any run of characters, `?` exactly one. */
  readonly pattern: string
  readonly action: 'forward' | 'authenticate'
}

/** What the identity provider's userinfo endpoint says of somebody. */
export type Userinfo = Fields & { readonly sub: string }

export interface AlbOptions {
  /** Default 0: any free one. */
  readonly port?: number
  /** Base URL of what stands behind. */
  readonly target: string
  readonly signer: Signer
  /** The first that matches decides; when none does, `authenticate`. */
  readonly rules: readonly Rule[]
  /** Who can sign in, by the name that their session cookie carries. */
  readonly users: Readonly<Record<string, Userinfo>>
}

export interface Alb {
  readonly url: string
  readonly close: () => Promise<void>
}

/** The first shard. AWS encrypts it; here it holds the user's name, so that it can be typed. */
export const SESSION_COOKIE = 'AWSELBAuthSessionCookie-0'

/** Where AWS receives the identity provider's answer, and where ours asks who one would like to be. */
export const SIGN_IN_PATH = '/oauth2/idpresponse'

/** AWS's limits on all headers of a request and of an answer, in bytes. */
const MAX_REQUEST_HEADERS = 65_536
const MAX_RESPONSE_HEADERS = 32_768

const SESSION_SECONDS = 7 * 24 * 60 * 60

/** What concerns one connection only, and `Expect`, which Node's server has answered already. */
const HOP_BY_HOP = /^(connection|expect|keep-alive|proxy-connection|te|trailer|upgrade)$/i

/** Starts listening on 127.0.0.1; plain HTTP, no upgrades. */
export async function startAlb({
  port = 0,
  target,
  signer,
  rules,
  users,
}: AlbOptions): Promise<Alb> {
  const agent = new Agent({ keepAlive: true })
  const known = new Map(Object.entries(users))
  const options = { maxHeaderSize: MAX_REQUEST_HEADERS, requestTimeout: 0 }

  const server = createServer(options, (request, response) => {
    const url = request.url ?? '/'
    const [path = ''] = url.split('?', 1)
    if (path === SIGN_IN_PATH) {
      signIn(url, known, response)
      return
    }
    const action = rules.find(rule => matchesPattern(rule.pattern, path))?.action
    if (action === 'forward') {
      forward(request, response, { target, agent, headers: addressed(request) })
      return
    }
    const user = known.get(sessionOf(request))
    if (user === undefined) {
      const location = `${SIGN_IN_PATH}?state=${encodeURIComponent(url)}`
      response.writeHead(302, { Location: location }).end()
      return
    }
    const headers = replace(addressed(request), {
      'x-amzn-oidc-accesstoken': `opaque-${randomBytes(24).toString('base64url')}`,
      'x-amzn-oidc-identity': user.sub,
      'x-amzn-oidc-data': signer.sign(user),
    })
    forward(request, response, { target, agent, headers })
  })

  return {
    url: await listen(server, port),
    close: () => {
      agent.destroy()
      return close(server)
    },
  }
}

/** Matches the whole path, in time bounded by pattern times path: no backtracking past the last `*`. */
export function matchesPattern(pattern: string, path: string): boolean {
  let p = 0
  let s = 0
  let star = -1
  let retry = 0
  while (s < path.length) {
    if (pattern[p] === '*') {
      star = p++
      retry = s
    } else if (pattern[p] === '?' || pattern[p] === path[s]) {
      p++
      s++
    } else if (star >= 0) {
      p = star + 1
      s = ++retry
    } else return false
  }
  return /^\**$/.test(pattern.slice(p))
}

const sessionOf = ({ headers }: IncomingMessage): string =>
  (headers.cookie ?? '')
    .split(/; ?/)
    .find(cookie => cookie.startsWith(`${SESSION_COOKIE}=`))
    ?.slice(SESSION_COOKIE.length + 1) ?? ''

/** Stands in for the whole round trip to an identity provider. */
function signIn(url: string, users: ReadonlyMap<string, Userinfo>, response: ServerResponse): void {
  const query = new URL(url, 'http://alb').searchParams
  const state = ownPath(query.get('state') ?? '/')
  const name = query.get('user') ?? ''
  if (users.has(name)) {
    const cookie = `${SESSION_COOKIE}=${name}; Max-Age=${SESSION_SECONDS}; Path=/; HttpOnly`
    response.writeHead(302, { Location: state, 'Set-Cookie': cookie }).end()
    return
  }
  const choices = [...users.keys()].map(
    user =>
      html`<li><a href="?${new URLSearchParams({ user, state }).toString()}">${user}</a></li>`,
  )
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(
    page(
      'Sign in',
      html`<h1>Sign in as</h1>
        <ul>
          ${choices}
        </ul>
        <p class="note">A stand-in for the identity provider: there is no password to steal.</p>`,
    ),
  )
}

/** The path to go back to; a URL elsewhere is the root. */
function ownPath(state: string): string {
  if (!URL.canParse(state, 'http://alb')) return '/'
  const { origin, pathname, search } = new URL(state, 'http://alb')
  return origin === 'http://alb' ? pathname + search : '/'
}

/** The client's headers with what a load balancer says of the connection, whatever the rule. */
function addressed(request: IncomingMessage): HeaderList {
  const received = headerList(request).filter(([name]) => !HOP_BY_HOP.test(name))
  const from = received.filter(([name]) => name.toLowerCase() === 'x-forwarded-for')
  const peer = request.socket.remoteAddress ?? ''
  return replace(received, {
    'X-Forwarded-For': [...from.map(([, value]) => value), peer].join(', '),
    'X-Forwarded-Proto': 'http',
    'X-Forwarded-Port': String(request.socket.localPort),
    'X-Amzn-Trace-Id': traced(request.headers['x-amzn-trace-id']),
  })
}

/** A client's `Root` is kept and ours becomes `Self`; without one, ours is the root. */
function traced(received: string | string[] | undefined): string {
  const seconds = Math.floor(Date.now() / 1000).toString(16)
  const id = `1-${seconds}-${randomBytes(12).toString('hex')}`
  if (typeof received !== 'string') return `Root=${id}`
  const others = received.split(/; */).filter(field => !field.startsWith('Self='))
  const root = others.some(field => field.startsWith('Root='))
  return [`${root ? 'Self' : 'Root'}=${id}`, ...others].join(';')
}

/** Ours instead of theirs: by exact name, as one who does not think of underscores. */
function replace(headers: HeaderList, set: Readonly<Record<string, string>>): HeaderList {
  const names = new Set(Object.keys(set).map(name => name.toLowerCase()))
  return [...headers.filter(([name]) => !names.has(name.toLowerCase())), ...Object.entries(set)]
}

interface Onward {
  readonly target: string
  readonly agent: Agent
  readonly headers: HeaderList
}

/** Streams the request on and the answer back; 502 when there is none. */
function forward(
  request: IncomingMessage,
  response: ServerResponse,
  { target, agent, headers }: Onward,
): void {
  const { hostname, port } = new URL(target)
  const upstream = startRequest({
    hostname,
    port,
    agent,
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: headers.flat(),
    maxHeaderSize: MAX_RESPONSE_HEADERS,
  })
  upstream.on('response', answer => {
    const kept = headerList(answer).filter(
      ([name]) => !HOP_BY_HOP.test(name) && !/^transfer-encoding$/i.test(name),
    )
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, kept.flat())
    pipeline(answer, response, () => undefined)
  })
  upstream.on('error', () => {
    if (response.headersSent) response.destroy()
    else response.writeHead(502, { 'Content-Type': 'text/plain' }).end('502 Bad Gateway\n')
  })
  response.on('close', () => {
    upstream.destroy()
  })
  request.pipe(upstream)
}
