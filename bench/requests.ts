/**
 * Requests as a load balancer sends them, prebuilt in files for wrk: what a case says of its requests,
 * made into bytes.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SUBJECT, USUAL_FILLER_BYTES, USUAL_GROUPS, accessToken, albToken } from './tokens.ts'

export interface RequestSpec {
  /** `/api/…` is guarded, `/open/…` is not; what follows names what the application answers. */
  readonly path: string
  /** How many different ALB tokens take turns; none: no `x-amzn-oidc-*` at all. */
  readonly albTokens?: number
  /** How many different access tokens; 1 unless said. */
  readonly accessTokens?: number
  /** In each access token. */
  readonly groups?: number
  /** Claims in the ALB token that only make it longer, in bytes; as many as make it 1.5 KB unless said. */
  readonly fillerBytes?: number
  /** Signed with another key than the `kid` names. */
  readonly forged?: boolean
  /** Of a POST; none: a GET. */
  readonly bodyBytes?: number
  /** In each of the two shards of the ALB's session cookie; 2,000 unless said. */
  readonly cookieBytes?: number
  /** How many requests to make, where tokens repeat; as many as there are tokens unless said. */
  readonly requests?: number
}

export interface PrebuiltRequests {
  readonly file: string
  readonly count: number
  /** How many requests it takes to send every token. */
  readonly tokens: number
  /** The only right answer. */
  readonly status: number
}

const SHARD = 'AWSELBAuthSessionCookie'
const USUAL_COOKIE_BYTES = 2_000

/** A browser's script asking for JSON: what a load balancer adds, and what a browser sends. */
const HEADERS = {
  'X-Forwarded-For': '203.0.113.7',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Port': '443',
  Host: 'consoleme.example.com',
  'sec-ch-ua': '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"macOS"',
  'User-Agent':
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  Accept: 'application/json, text/plain, */*',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'cors',
  'Sec-Fetch-Dest': 'empty',
  Referer: 'https://consoleme.example.com/',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
}

type Fields = Readonly<Record<string, string>>

/** One request, whole; `fields` come after the usual ones. */
export function requestText(path: string, fields: Fields, body = ''): string {
  const length = body === '' ? {} : { 'Content-Length': String(body.length) }
  const lines = Object.entries({ ...HEADERS, ...fields, ...length }).map(pair => pair.join(': '))
  return `${body === '' ? 'GET' : 'POST'} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

const cookiesOf = (bytes: number): Fields => ({
  Cookie: ['theme=dark', ...[0, 1].map(n => `${SHARD}-${n}=${'a'.repeat(bytes)}`)].join('; '),
})

/** The headers of the n-th request of a kind. */
export async function fieldsOf(spec: RequestSpec, tokens: Tokens, n: number): Promise<Fields> {
  const trace = { 'X-Amzn-Trace-Id': `Root=1-67891233-${String(n).padStart(24, '0')}` }
  const fields = { ...trace, ...cookiesOf(spec.cookieBytes ?? USUAL_COOKIE_BYTES) }
  if (spec.albTokens === undefined) return fields
  const { groups = USUAL_GROUPS, accessTokens = 1, albTokens } = spec
  return {
    ...fields,
    'x-amzn-oidc-accesstoken': await tokens.access(n % accessTokens, groups),
    'x-amzn-oidc-identity': SUBJECT,
    'x-amzn-oidc-data': tokens.alb(n % albTokens, spec),
  }
}

/** Every token is signed once in a run. */
export interface Tokens {
  readonly alb: (n: number, spec: Pick<RequestSpec, 'forged' | 'fillerBytes'>) => string
  readonly access: (n: number, groups: number) => Promise<string>
}

export function createTokens(): Tokens {
  const alb = new Map<string, string>()
  const access = new Map<string, Promise<string>>()
  return {
    alb: (n, { forged = false, fillerBytes = USUAL_FILLER_BYTES }) =>
      remember(alb, `${n} ${forged} ${fillerBytes}`, () => albToken(fillerBytes, forged)),
    access: (n, groups) => remember(access, `${n} ${groups}`, () => accessToken(n, groups)),
  }
}

function remember<V>(known: Map<string, V>, key: string, make: () => V): V {
  const value = known.get(key) ?? make()
  known.set(key, value)
  return value
}

/** Writes the requests of a spec to a file, once. */
export function createRequests(directory: string, tokens: Tokens) {
  const files = new Map<string, Promise<PrebuiltRequests>>()

  const build = async (spec: RequestSpec): Promise<PrebuiltRequests> => {
    const { path, albTokens = 1, accessTokens = 1, bodyBytes = 0, forged = false } = spec
    const distinct = Math.max(albTokens, accessTokens)
    const { requests = distinct } = spec
    const body = 'b'.repeat(bodyBytes)
    const texts = Array.from({ length: requests }, async (_, n) =>
      requestText(path, await fieldsOf(spec, tokens, n), body),
    )
    const file = join(directory, `requests-${files.size}`)
    writeFileSync(file, (await Promise.all(texts)).map(text => `${text}\0`).join(''), 'latin1')
    return { file, count: requests, tokens: distinct, status: forged ? 401 : 200 }
  }

  return (spec: RequestSpec) => remember(files, JSON.stringify(spec), () => build(spec))
}
