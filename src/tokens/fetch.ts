/**
 * How keys are asked for: with the platform's own fetch, or through the forward proxy that a network
 * insists on, for which alone undici is loaded.
 */
import type { Fetch } from './bounded-fetch.ts'

export interface ProxyOptions {
  /** `HTTPS_PROXY`; only `https:` goes through it, `http:` is for loopback. */
  readonly httpsProxy?: string | undefined
  /** `NO_PROXY`: comma-separated hosts and suffixes that are reached directly. */
  readonly noProxy?: string | undefined
}

export async function createFetch({ httpsProxy, noProxy }: ProxyOptions): Promise<Fetch> {
  if (httpsProxy === undefined) return fetch
  const undici = await import('undici')
  const dispatcher = new undici.EnvHttpProxyAgent({
    httpProxy: '',
    httpsProxy,
    noProxy: noProxy ?? '',
  })
  return (url, init) => undici.fetch(url, { ...init, dispatcher })
}
