/**
 * Refuses, before anything is decided, every request that two readers could understand differently.
 *
 * Node's parser is strict but lets through what an older application reads in another way;
 * and what it silently drops, a smuggler hides behind. So this file reads nothing but the raw header
 * list, counts it itself, and states what may follow: one version, one host, one framing.
 *
 * @see RFC 9112 §3.2, §6.1, §6.3; RFC 9110 §10.1.1
 */
import { isIPv6 } from 'node:net'
import type { Body } from '../core/body.ts'
import {
  OIDC_HEADERS,
  fold,
  textAt,
  type HeaderList,
  type ReceivedHeaders,
} from '../core/headers.ts'
import { remembered } from '../core/remembered.ts'
import { rejected, type Rejected } from '../core/verdict.ts'

/** A request line and header list as node's parser gives them. */
export interface Unadmitted {
  readonly httpVersion: string
  readonly method: string
  readonly target: string
  readonly headers: HeaderList
}

export interface Admitted {
  readonly outcome: 'admitted'
  readonly method: string
  /** Origin form, byte for byte as received. */
  readonly target: string
  readonly headers: ReceivedHeaders
  readonly body: Body
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean
  /** Whether a `Host` came; only HTTP/1.0 may leave it out. */
  readonly hasHost: boolean
  /**
   * Whether the client asked for another protocol on this connection: it gets HTTP, but what it sends
   * next may be meant for a reader that is not there, so the connection ends with the answer.
   */
  readonly asksUpgrade: boolean
}

export interface AdmitLimits {
  readonly maxHeaders: number
  /** Of request line and header lines with their separators, in bytes. */
  readonly maxHeaderBytes: number
}

const REFUSED_METHODS: ReadonlySet<string> = new Set(['CONNECT', 'TRACE'])
/** Visible ASCII that begins with a slash, without the two characters that clients never send. */
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/
const HOST = /^(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/
const CONTENT_LENGTH = /^(?:0|[1-9][0-9]{0,15})$/

const FRAMING: ReadonlySet<string> = new Set([
  ...['content-length', 'expect', 'host', 'transfer-encoding', 'upgrade'],
])

/** The headers this file has an opinion on, in lower case. */
type Framing = Record<
  'content-length' | 'expect' | 'host' | 'transfer-encoding' | 'upgrade',
  string[]
>

export function createAdmit(limits: AdmitLimits): (request: Unadmitted) => Admitted | Rejected {
  return ({ httpVersion, method, target, headers }) => {
    const oversize = checkSize(method, target, headers)
    if (oversize !== undefined) return oversize
    if (httpVersion !== '1.1' && httpVersion !== '1.0') return malformed('HTTP version')
    if (REFUSED_METHODS.has(method)) return rejected('method_refused', { detail: method })
    if (!ORIGIN_FORM.test(target)) return malformed('request target')

    const read = readFraming(headers)
    if ('outcome' in read) return read
    const host = checkHost(read.host, httpVersion)
    if (host !== undefined) return host
    const body = readBody(read, httpVersion)
    if ('outcome' in body) return body
    const expectation = readExpectation(read.expect, httpVersion)
    if (typeof expectation !== 'boolean') return expectation
    return {
      outcome: 'admitted',
      method,
      target,
      headers: asReceived(headers),
      body,
      expectsContinue: expectation,
      hasHost: read.host.length > 0,
      asksUpgrade: read.upgrade.length > 0,
    }
  }

  function checkSize(method: string, target: string, headers: HeaderList): Rejected | undefined {
    const count = headers.length / 2
    if (count > limits.maxHeaders) {
      const detail = `${count} header lines, MAX_HEADERS is ${limits.maxHeaders}`
      return rejected('headers_too_large', { detail })
    }
    let bytes = method.length + target.length + ' HTTP/1.1\r\n'.length + 1
    for (const text of headers) bytes += text.length + 2
    if (bytes <= limits.maxHeaderBytes) return undefined
    const detail = `${bytes} header bytes, MAX_HEADER_BYTES is ${limits.maxHeaderBytes}`
    return rejected('headers_too_large', { detail })
  }
}

/** Collects the framing headers and refuses a second copy of what the ALB sends once. */
function readFraming(headers: HeaderList): Framing | Rejected {
  const framing: Framing = {
    'content-length': [],
    expect: [],
    host: [],
    'transfer-encoding': [],
    upgrade: [],
  }
  const oidc: string[] = []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const role = roleOf(textAt(headers, i))
    if (role === 'other') continue
    if (isFraming(role)) {
      framing[role].push(textAt(headers, i + 1))
      continue
    }
    if (oidc.includes(role)) return rejected('duplicate_header', { detail: role })
    oidc.push(role)
  }
  return framing
}

/** What a name is to this file: framing by its own name, the ALB's by any that folds to it. */
const roleOf = remembered(name => {
  const lower = name.toLowerCase()
  const folded = fold(lower)
  return isFraming(lower) ? lower : OIDC_HEADERS.includes(folded) ? folded : 'other'
})

function isFraming(name: string): name is keyof Framing {
  return FRAMING.has(name)
}

/** Exactly one `name`, `name:port` or `[v6]` with or without port; none at all only in 1.0. */
function checkHost(hosts: readonly string[], httpVersion: string): Rejected | undefined {
  const [host, ...more] = hosts
  if (host === undefined) return httpVersion === '1.0' ? undefined : malformed('no Host')
  if (more.length > 0) return malformed('more than one Host')
  const form = HOST.exec(host)
  const [, v6, port = '0'] = form ?? []
  const isHost = form !== null && (v6 === undefined || isIPv6(v6)) && Number(port) <= 65_535
  return isHost ? undefined : malformed('Host')
}

function readBody(framing: Framing, httpVersion: string): Body | Rejected {
  const codings = framing['transfer-encoding']
  const lengths = framing['content-length']
  if (codings.length > 0) {
    const plain = codings.length === 1 && codings[0] === 'chunked'
    if (!plain || lengths.length > 0 || httpVersion === '1.0') return malformed('Transfer-Encoding')
    return { kind: 'chunked' }
  }
  const [length, ...more] = lengths
  if (length === undefined) return { kind: 'none' }
  const bytes = CONTENT_LENGTH.test(length) ? Number(length) : Number.NaN
  if (more.length > 0 || !Number.isSafeInteger(bytes)) return malformed('Content-Length')
  return { kind: 'length', bytes }
}

/** An HTTP/1.0 client cannot wait for a 100, so it is not sent one (RFC 9110 §10.1.1). */
function readExpectation(expectations: readonly string[], httpVersion: string): boolean | Rejected {
  const [expectation, ...more] = expectations
  if (expectation === undefined) return false
  if (more.length === 0 && expectation.toLowerCase() === '100-continue')
    return httpVersion === '1.1'
  return rejected('expectation_refused')
}

function malformed(what: string): Rejected {
  return rejected('malformed_request', { detail: what })
}

function asReceived(list: HeaderList): ReceivedHeaders {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-type-assertion -- the one place that makes the brand
  return list as ReceivedHeaders
}
