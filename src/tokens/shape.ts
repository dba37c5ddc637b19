/**
 * Reads the compact serialisation of a signed token, strictly: one token, one spelling of it.
 *
 * ALBs pad their base64url with `=`, and the padding is part of what they sign; everything else that
 * lenient decoders let through (spaces, `+` and `/`, stray trailing bits, half a padding) would let
 * one valid token be spelled in any number of ways and is refused. Nothing here is believed yet.
 *
 * @see RFC 7515 §3.1, RFC 4648 §3.5 (canonical trailing bits), §5; ADR 2
 */
import { isUtf8 } from 'node:buffer'
import type { Claims } from '../core/identity.ts'
import { parseJson } from '../core/json.ts'

export interface CompactToken {
  readonly header: Claims
  readonly payload: Claims
  /** `header.payload` exactly as received, padding included: the bytes that were signed. */
  readonly signed: string
  readonly signature: Buffer
}

/**
 * @param token As it stood in the header.
 * @returns The parts, or `undefined` when it is not three canonical base64url segments of which two
 *   are JSON objects in UTF-8 whose names are unique at every depth. Length is the caller's business.
 */
export function readCompact(token: string): CompactToken | undefined {
  const [head, body, tail, ...more] = token.split('.')
  if (head === undefined || body === undefined || tail === undefined || more.length > 0) {
    return undefined
  }
  const header = readObject(head)
  const payload = readObject(body)
  const signature = decodeSegment(tail)
  if (header === undefined || payload === undefined || signature === undefined) return undefined
  return { header, payload, signed: `${head}.${body}`, signature }
}

/**
 * Decodes one base64url segment with its correct padding, or with none.
 * @returns `undefined` for anything that a re-encoding would not give back.
 */
export function decodeSegment(segment: string): Buffer | undefined {
  const bytes = Buffer.from(segment, 'base64url')
  const canonical = bytes.toString('base64url')
  if (segment === canonical) return bytes
  const padded = canonical.padEnd(Math.ceil(canonical.length / 4) * 4, '=')
  return segment === padded ? bytes : undefined
}

function readObject(segment: string): Claims | undefined {
  const bytes = decodeSegment(segment)
  if (bytes === undefined || !isUtf8(bytes)) return undefined
  const text = bytes.toString('utf8')
  const value = parseJson(text)
  return isObject(value) && namesIn(text) === namesOf(value) ? value : undefined
}

function isObject(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * How many names a valid JSON text writes down. If the parsed value has fewer, one was written twice
 * and the last silently won (RFC 7515 §4: names MUST be unique).
 */
function namesIn(text: string): number {
  let count = 0
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at)) {
    at = endOfString(text, at)
    while (isSpace(text.charCodeAt(at))) at++
    if (text.charCodeAt(at) === COLON) count++
  }
  return count
}

const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a]

/** Where the text goes on behind the string that begins at `at`. */
function endOfString(text: string, at: number): number {
  let end = at + 1
  while (end < text.length && text.charCodeAt(end) !== QUOTE)
    end += text.charCodeAt(end) === BACKSLASH ? 2 : 1
  return end + 1
}

/** @see RFC 8259 §2 */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}

/** How many names a parsed value has at every depth; a loop, because depth is the sender's choice. */
function namesOf(value: object): number {
  let count = 0
  const open = [value]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const members: unknown[] = Object.values(next)
    if (!Array.isArray(next)) count += members.length
    for (const member of members) {
      if (typeof member === 'object' && member !== null) open.push(member)
    }
  }
  return count
}
