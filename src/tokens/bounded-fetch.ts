/**
 * Asks for one small document and waits for it only so long: no redirect is followed, no more is read
 * than the document may have, and all of it, retry included, ends in time.
 *
 * A definite "there is no such thing" is told apart from every fault, because only the former may be
 * remembered.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { FetchOutcome } from '../core/telemetry.ts'

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

export type Fetched<T> =
  | { readonly outcome: 'ok'; readonly value: T }
  | { readonly outcome: Exclude<FetchOutcome, 'ok'>; readonly detail: string }

export interface DocumentKind<T> {
  readonly maxBytes: number
  /** Reads the text of the document; a string says what is wrong with it. */
  readonly parse: (text: string) => Exclude<T, string> | string
}

/**
 * @param timeoutMs For everything together: connecting, body, one retry after a network fault or 5xx.
 * @returns A function of a URL that resolves in time, and never rejects for what the network does.
 */
export function createBoundedFetch<T extends object>(
  fetch: Fetch,
  timeoutMs: number,
  kind: DocumentKind<T>,
): (url: string) => Promise<Fetched<T>> {
  return async url => {
    const signal = AbortSignal.timeout(timeoutMs)
    const first = await attempt(url, signal)
    if (first.outcome !== 'error') return first
    await delay(RETRY_PAUSE_MS * (1 + Math.random()), undefined, { signal }).catch(() => undefined)
    return attempt(url, signal)
  }

  async function attempt(url: string, signal: AbortSignal): Promise<Fetched<T>> {
    try {
      const { status, body } = await fetch(url, { redirect: 'manual', signal })
      if (status !== 200) {
        await body?.[Symbol.asyncIterator]().return?.()
        return verdictOnStatus(status)
      }
      const text = await readAtMost(body, kind.maxBytes)
      if (text === undefined) {
        return { outcome: 'refused', detail: `more than ${kind.maxBytes} bytes` }
      }
      const value = kind.parse(text)
      if (typeof value === 'string') return { outcome: 'refused', detail: value }
      return { outcome: 'ok', value }
    } catch (error) {
      if (!(error instanceof Error)) throw error
      if (signal.aborted) return { outcome: 'timeout', detail: `no answer within ${timeoutMs} ms` }
      return { outcome: 'error', detail: causeOf(error) }
    }
  }
}

/** S3, which stands behind the ALB's key endpoints, says 403 where there is nothing to be seen. */
function verdictOnStatus(status: number): Exclude<Fetched<never>, { outcome: 'ok' }> {
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
  return Buffer.concat(chunks).toString('utf8')
}

/** The innermost message: fetch wraps what really happened, once for every address it tried. */
export function causeOf(error: Error): string {
  const attempts: readonly unknown[] = error instanceof AggregateError ? error.errors : []
  const cause = error.cause ?? attempts[0]
  return cause instanceof Error ? causeOf(cause) : error.message
}
