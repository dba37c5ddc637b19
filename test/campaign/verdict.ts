/**
 * What must hold for every request that arrived: somebody let it in, by a name that we wrote or on an
 * open path by none; and nothing else arrived.
 */
import { fold } from '../attack/oracle.ts'
import type { FramedRequest } from '../fixtures/recorder.ts'
import { SMUGGLED_PATH } from './attack.ts'
import type { Reading } from './upstream.ts'

/**
 * `unreadable`: something was passed on that a strict reader of RFC 9112 refuses, and a lax one reads
 * as it likes.
 */
export type Harm = (typeof HARMS)[number]
export const HARMS = ['bypass', 'desynchronisation', 'unreadable', 'crash', 'hang'] as const

export interface Finding {
  readonly harm: Harm
  readonly what: string
}

/** What the sidecar may say of identity: values by the folded name. */
export type Assertable = Readonly<Record<string, readonly string[]>>

/** What is wrong with a request, as it was on the wire or as an application read it: the worst of it. */
export function findingsIn(request: Reading, assertable: Assertable): Finding[] {
  const { method, target, headers } = request
  const who = `${method} ${target.slice(0, 120)}`
  const said = headers.filter(([name]) => isOwned(name, assertable))
  const foreign = said.filter(([name, value]) => assertable[fold(name)]?.includes(value) !== true)
  const users = said.filter(([name]) => fold(name) === 'x-forwarded-user')
  const isNamed = users.length === 1
  const isOpen = target.startsWith('/open/')
  if (target.startsWith(SMUGGLED_PATH) && (foreign.length > 0 || !isNamed)) {
    return [{ harm: 'desynchronisation', what: `${who} was never judged` }]
  }
  const [[name, value] = []] = foreign
  if (name !== undefined) {
    return [{ harm: 'bypass', what: `${who} says ${name}: ${value?.slice(0, 60) ?? ''}` }]
  }
  return isNamed || isOpen ? [] : [{ harm: 'bypass', what: `${who} arrived without a name` }]
}

function isOwned(name: string, assertable: Assertable): boolean {
  const folded = fold(name)
  return Object.hasOwn(assertable, folded) || folded.startsWith('x-amzn-oidc-')
}

/** A request off the wire in the terms of an application. */
export function readingOf({ line, headers, body, trailers }: FramedRequest): Reading {
  const [method = '', target = ''] = line.split(' ')
  const pairs = [...headers, ...trailers].map(header => {
    const at = header.indexOf(':')
    return [header.slice(0, at), header.slice(at + 1).trim()] as const
  })
  return { method, target, headers: pairs, bytes: body.length }
}

/**
 * What is left on a connection, as the beginning of one request: the head of it when that is whole, and
 * declares in one way more body than came; nothing when the head is not whole either.
 *
 * @returns `unreadable` for anything else: somebody reads it differently.
 */
export function beginningOf(rest: string): Reading | 'unreadable' | undefined {
  const end = rest.indexOf('\r\n\r\n')
  if (!/^[A-Z-]*(?: |$)/.test(rest)) return 'unreadable'
  if (end < 0) return undefined
  const [line = '', ...headers] = rest.slice(0, end).split('\r\n')
  const reading = readingOf({ line, headers, body: rest.slice(end + 4), trailers: [] })
  const named = (wanted: string) =>
    reading.headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value)
  const lengths = named('content-length')
  const codings = named('transfer-encoding')
  if (lengths.length + codings.length !== 1) return 'unreadable'
  const isShort = codings[0] === 'chunked' || reading.bytes < Number(lengths[0])
  return isShort ? reading : 'unreadable'
}
