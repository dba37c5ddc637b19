/**
 * Asks a key endpoint for one key, and takes nothing for an answer but one P-256 public key.
 *
 * No redirect is followed, no more than 8 KiB is read, and all of it, retry included, ends in time.
 * A definite "no such key" is told apart from every fault, because only the former may be remembered.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { FetchOutcome } from '../core/telemetry.ts'

/** Longest answer that is read, in bytes; a PEM P-256 key has 178. */
const MAX_KEY_BYTES = 8_192
/** Pause before the one retry, and as much again at random. */
const RETRY_PAUSE_MS = 50

/** `fetch` of the platform or of undici: what both have in common. */
export type Fetch = (
  url: string,
  init: { readonly redirect: 'manual'; readonly signal: AbortSignal },
) => Promise<{
  readonly status: number
  readonly body: AsyncIterable<Uint8Array> | null
}>

export type FetchedKey =
  | { readonly outcome: 'ok'; readonly key: KeyObject }
  | { readonly outcome: Exclude<FetchOutcome, 'ok'>; readonly detail: string }

/**
 * @param timeoutMs For everything together: connecting, redirects refused, body, one retry.
 * @returns A function of a URL that resolves in time, and never rejects for what the network does.
 */
export function createKeyFetch(
  fetch: Fetch,
  timeoutMs: number,
): (url: string) => Promise<FetchedKey> {
  return async url => {
    const signal = AbortSignal.timeout(timeoutMs)
    const first = await attempt(fetch, url, signal)
    if (first.outcome !== 'error') return first
    await delay(RETRY_PAUSE_MS * (1 + Math.random()), undefined, { signal }).catch(() => undefined)
    return attempt(fetch, url, signal)
  }
}

async function attempt(fetch: Fetch, url: string, signal: AbortSignal): Promise<FetchedKey> {
  try {
    const { status, body } = await fetch(url, { redirect: 'manual', signal })
    if (status !== 200) {
      await body?.[Symbol.asyncIterator]().return?.()
      return verdictOnStatus(status)
    }
    const text = await readAtMost(body, MAX_KEY_BYTES)
    if (text === undefined)
      return { outcome: 'refused', detail: `more than ${MAX_KEY_BYTES} bytes` }
    const key = parsePublicKey(text)
    if (typeof key === 'string') return { outcome: 'refused', detail: key }
    return { outcome: 'ok', key }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    if (signal.aborted) return { outcome: 'timeout', detail: 'no answer within KEY_FETCH_TIMEOUT' }
    return { outcome: 'error', detail: causeOf(error) }
  }
}

/** S3, which stands behind the endpoints, says 403 where there is nothing to be seen. */
function verdictOnStatus(status: number): FetchedKey {
  const detail = `status ${status}`
  if (status === 403 || status === 404) return { outcome: 'unknown', detail }
  return { outcome: status >= 500 ? 'error' : 'refused', detail }
}

async function readAtMost(
  body: AsyncIterable<Uint8Array> | null,
  max: number,
): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.length
    if (size > max) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('latin1')
}

const PEM = /^-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*$/

/** What comes before the 64 bytes of an uncompressed P-256 point in its DER (RFC 5480 §2). */
const P256_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
const P256_BYTES = P256_PREFIX.length + 64

/**
 * Reads one PEM SubjectPublicKeyInfo of a P-256 key, and nothing beside it: no private key, no
 * certificate, no second block, no other curve, no other form of the point (Node 20 and 22 abort on
 * one).
 *
 * @returns The key, or what is wrong with the text.
 */
export function parsePublicKey(text: string): KeyObject | string {
  const [, lines] = PEM.exec(text) ?? []
  if (lines === undefined) return 'not one PEM public key'
  const base64 = lines.replace(/[\r\n]/g, '')
  const der = Buffer.from(base64, 'base64')
  if (der.toString('base64') !== base64) return 'not one PEM public key'
  if (der.length !== P256_BYTES || !der.subarray(0, P256_PREFIX.length).equals(P256_PREFIX)) {
    return 'not a P-256 key'
  }
  try {
    return createPublicKey({ key: der, format: 'der', type: 'spki' })
  } catch (error) {
    if (error instanceof Error) return 'not a point of P-256'
    throw error
  }
}

/** The innermost message: fetch wraps what really happened, once for every address it tried. */
function causeOf(error: Error): string {
  const attempts: readonly unknown[] = error instanceof AggregateError ? error.errors : []
  const cause = error.cause ?? attempts[0]
  return cause instanceof Error ? causeOf(cause) : error.message
}
