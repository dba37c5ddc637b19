/**
 * Readers: the text of one environment variable -> a typed value, or {@link Unreadable} with the end
 * of the sentence "<VARIABLE> must …".
 */
import { HOP_BY_HOP, OIDC_PREFIX, fold } from '../core/headers.ts'
import { parseJson } from '../core/json.ts'
import { isCanonical } from '../route/path.ts'
import { parseCertificates } from '../tls/certificates.ts'

export type Read<T> = (text: string) => T

/** What is wrong with a value, as the end of "<VARIABLE> …". */
export class Unreadable extends Error {}

/** A text without what stands before the `@` of a URL in it, however that URL is spelled. */
export function withoutCredentials(text: string): string {
  return text.replace(/(\/\/|^(?:[a-z]+:\/?)?)[^/\s]*@/gi, '$1…@')
}

/** The value, shown back to the operator; shortened, and without the credentials of a URL. */
function found(text: string): string {
  const shown = withoutCredentials(text)
  return `, found '${shown.length > 160 ? `${shown.slice(0, 160)}…` : shown}'`
}

export const text: Read<string> = value => value

export const choice =
  <T extends string>(...choices: readonly T[]): Read<T> =>
  value => {
    const chosen = choices.find(each => each === value)
    if (chosen !== undefined) return chosen
    throw new Unreadable(`must be one of ${choices.join(', ')}${found(value)}`)
  }

export const flag: Read<boolean> = value => choice('true', 'false')(value) === 'true'

/** A whole number from `min` to `max`. */
export const whole =
  (min: number, max: number): Read<number> =>
  value => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return number
    throw new Unreadable(`must be a whole number from ${min} to ${max}${found(value)}`)
  }

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** `250ms`, `5s`, `2m`, `12h`, `7d` or a bare `0`, from `min` up to `max`; in milliseconds. */
export const duration =
  (max: string, min = '0'): Read<number> =>
  value => {
    const ms = milliseconds(value)
    if (ms >= milliseconds(min) && ms <= milliseconds(max)) return ms
    const bounds = min === '0' ? `up to ${max}` : `from ${min} up to ${max}`
    throw new Unreadable(
      `must be a duration such as 250ms, 5s, 2m, 12h or 7d, ${bounds}${found(value)}`,
    )
  }

function milliseconds(value: string): number {
  if (value === '0') return 0
  const [, amount, unit = ''] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(value) ?? []
  return Number(amount) * (UNITS[unit] ?? Number.NaN)
}

/** Comma-separated, spaces around members dropped, empty members dropped. */
export const list =
  <T>(read: Read<T>): Read<readonly T[]> =>
  value =>
    value
      .split(',')
      .map(member => member.trim())
      .filter(member => member !== '')
      .map(read)

/** A list with at least one member. */
export const someOf =
  <T>(read: Read<T>): Read<readonly T[]> =>
  value => {
    const members = list(read)(value)
    if (members.length > 0) return members
    throw new Unreadable(`must have at least one member${found(value)}`)
  }

/** A reader of a value that some other folder parses: `parse` returns the value, or what it must be. */
export const parsed =
  <T extends object>(parse: (text: string) => T | string): Read<T> =>
  value => {
    const result = parse(value)
    if (typeof result !== 'string') return result
    throw new Unreadable(`must ${result}${found(value)}`)
  }

/** Names that we must not claim as ours: the request cannot do without them, or they are the ALB's. */
const RESERVED = new Set(['host', 'cookie', 'content-length', 'expect', ...HOP_BY_HOP])

/** A header name to inject, or nothing, which turns the header off. */
export const headerName: Read<string> = value => {
  if (value === '') return value
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(value)) {
    throw new Unreadable(`must be a header name${found(value)}`)
  }
  const folded = fold(value)
  if (!RESERVED.has(folded) && !folded.startsWith(OIDC_PREFIX)) return value
  throw new Unreadable(
    `must not be a header that carries the request or the ALB's claims${found(value)}`,
  )
}

/** A cookie name, RFC 6265 §4.1.1. */
export const cookieName: Read<string> = value => {
  if (/^[A-Za-z0-9!#$%&'*+.^_`|~-]*[A-Za-z0-9][A-Za-z0-9!#$%&'*+.^_`|~-]*$/.test(value))
    return value
  throw new Unreadable(`must be a cookie name${found(value)}`)
}

/** One ASCII character that may stand between groups. */
export const separator: Read<string> = value => {
  if (/^[ !-$&-/:-@[-`{-~]$/.test(value)) return value
  throw new Unreadable(`must be one ASCII punctuation character or a space, not %${found(value)}`)
}

/** Where an application listens. */
export interface UpstreamAddress {
  readonly protocol: 'http:' | 'https:'
  readonly host: string
  readonly port: number
  /** Set for `unix:/path`; host and port are then only for the Host header. */
  readonly socketPath?: string
}

/** `http://host[:port]`, `https://host[:port]` or `unix:/path`. No path: the target passes unchanged. */
export const upstreamUrl: Read<UpstreamAddress> = value => {
  const refusal = `must be http://host[:port], https://host[:port] or unix:/path${found(value)}`
  if (value.startsWith('unix:/')) {
    return { protocol: 'http:', host: 'localhost', port: 80, socketPath: value.slice(5) }
  }
  const url = URL.canParse(value) ? new URL(value) : undefined
  const protocol = url?.protocol
  if (url === undefined || (protocol !== 'http:' && protocol !== 'https:')) {
    throw new Unreadable(refusal)
  }
  const extras = url.username + url.password + url.search + url.hash
  if (extras !== '' || url.pathname !== '/' || url.hostname === '') throw new Unreadable(refusal)
  const port = url.port === '' ? (protocol === 'https:' ? 443 : 80) : Number(url.port)
  return { protocol, host: url.hostname.replace(/^\[|\]$/g, ''), port }
}

/** An issuer: compared as text, so only its form is asked for. */
export const issuer: Read<string> = value => {
  if (wholeUrl(value) !== undefined) return value
  throw new Unreadable(`must be the issuer's URL, exactly as in its tokens${found(value)}`)
}

/** A key URL template: `https:`, or `http:` to this machine, with `{kid}` outside the host. */
export const keyUrlTemplate: Read<string> = value => {
  const kid = '00000000-0000-0000-0000-000000000000'
  const example = value.replaceAll('{region}', 'us-east-1').replaceAll('{kid}', kid)
  const url = isSafeServer(example) ? new URL(example) : undefined
  if (url !== undefined && (url.pathname + url.search).includes(kid)) {
    if (!url.host.includes(kid) && !/\{(?!kid\}|region\})/.test(value)) return value
  }
  throw new Unreadable(
    `must be an https URL (http only to loopback) without credentials, with {kid}, and {region} if need be${found(value)}`,
  )
}

/** A URL that is asked for documents: `https:`, or `http:` to this machine. */
export const serverUrl: Read<string> = value => {
  if (isSafeServer(value)) return value
  throw new Unreadable(
    `must be an https URL (http only to loopback) without credentials${found(value)}`,
  )
}

/** Whether what comes from a URL comes from whom it names. */
export function isSafeServer(value: string): boolean {
  const url = wholeUrl(value)
  return url !== undefined && (url.protocol === 'https:' || isLoopback(url.hostname))
}

/**
 * An `http:` or `https:` URL in visible ASCII with its host after the two slashes, where a reader that
 * is more lenient than another cannot find a different one; `undefined` for anything else, and for one
 * with credentials, which nobody would send.
 */
function wholeUrl(value: string): URL | undefined {
  if (!/^https?:\/\/[^/\\?#@][\x21-\x7e]*$/.test(value) || !URL.canParse(value)) return undefined
  const url = new URL(value)
  return url.username + url.password === '' ? url : undefined
}

/** One of our own paths, compared whole; or nothing. */
export const ownPath: Read<string> = value => {
  if (value === '' || (isCanonical(value) && /^\/[^?#*]+$/.test(value))) return value
  throw new Unreadable(
    `must be a path that begins with /, without encoded separators, query or wildcards${found(value)}`,
  )
}

/** Where a browser may be sent: a whole URL in visible ASCII. */
export const redirectUrl: Read<string> = value => {
  if (wholeUrl(value) !== undefined) return value
  throw new Unreadable(`must be an http or https URL without credentials${found(value)}`)
}

/** An `http:` or `https:` URL of a forward proxy. Its credentials, if any, are never shown. */
export const proxyUrl: Read<string> = value => {
  if (/^https?:\/\/[^/\\?#]/.test(value) && URL.canParse(value)) return value
  throw new Unreadable(
    'must be the URL of a forward proxy such as http://proxy.example.com:3128; what was found may hold a password and is not shown',
  )
}

/** `127.0.0.0/8`, `::1` and the name that RFC 6761 reserves for them. */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '[::1]' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
  )
}

/** PEM certificates, at least one; as one text each. */
export const certificates: Read<readonly string[]> = value => {
  const found = parseCertificates(value)
  if (typeof found === 'string') {
    // Quoted only where it is the path of a file: anything else may be a key in the wrong place.
    const isPath = /^\.{0,2}\/\S+$/.test(value)
    throw new Unreadable(isPath ? `${found}: the path of a file goes into UPSTREAM_CA_FILE` : found)
  }
  return found.map(certificate => certificate.toString())
}

/** A JSON object whose values are all strings. */
export const stringMap: Read<ReadonlyMap<string, string>> = value => {
  const entries = Object.entries(parseObject(value))
  return new Map(
    entries.map(([from, to]) => {
      if (typeof to === 'string') return [from, to]
      throw new Unreadable(`must map text to text; '${from}' is mapped to ${kindOf(to)}`)
    }),
  )
}

function parseObject(value: string): object {
  const found = parseJson(value)
  if (typeof found === 'object' && found !== null && !Array.isArray(found)) return found
  const kind = found === undefined ? 'what is not JSON' : kindOf(found)
  throw new Unreadable(`must be a JSON object such as {"00g1ab":"ops"}, found ${kind}`)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
