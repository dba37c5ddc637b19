/**
 * Header lists, typed by how far they have come, and the one rule by which two names are the same.
 *
 * A list is what node calls raw: name, value, name, value, as spelled and in order. The brands exist
 * only in the type system. `server/admit.ts` is the one place that makes {@link ReceivedHeaders},
 * `headers/scrub.ts` the one that makes {@link ScrubbedHeaders} and `headers/inject.ts` the one that
 * makes {@link UpstreamHeaders}; `forward` takes nothing else, so a header that the client wrote
 * cannot reach the application by a new code path.
 */
import { remembered } from './remembered.ts'

export type HeaderList = readonly string[]

declare const received: unique symbol
declare const scrubbed: unique symbol
declare const upstream: unique symbol

/** As the client sent them: admitted, believed in nothing. */
export type ReceivedHeaders = HeaderList & { readonly [received]: true }
/** Without anything that only we or the ALB may say, and without what belongs to one connection. */
export type ScrubbedHeaders = HeaderList & { readonly [scrubbed]: true }
/** Scrubbed, plus what this process asserts. */
export type UpstreamHeaders = HeaderList & { readonly [upstream]: true }

/**
 * The name as the laxest application would read it: lower case, everything outside `[a-z0-9]` a `-`.
 *
 * WSGI, CGI and PHP read `X_Amzn_Oidc_Data`, `X-Amzn-Oidc-Data` and `X.Amzn.Oidc.Data` as one
 * variable (oauth2-proxy GHSA-vjrc-mh2v-45x6), so whatever we own, we own in all spellings.
 */
export function fold(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-')
}

/** The names an ALB puts its claims under, folded. */
export const OIDC_DATA = 'x-amzn-oidc-data'
export const OIDC_IDENTITY = 'x-amzn-oidc-identity'
export const OIDC_ACCESS_TOKEN = 'x-amzn-oidc-accesstoken'
export const OIDC_HEADERS: readonly string[] = [OIDC_DATA, OIDC_IDENTITY, OIDC_ACCESS_TOKEN]
/** Everything that folds to this prefix is the ALB's to say, known to us or not. */
export const OIDC_PREFIX = 'x-amzn-oidc-'

/**
 * Fields that belong to one connection and end here, in both directions.
 * @see RFC 9110 §7.6.1; `trailer` and the proxy authentication fields as Go's ReverseProxy does
 */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * The text at an index; `''` behind the end. Lists are read on every request, and by this: destructuring
 * with a computed key has V8 make the index a string first.
 */
export function textAt(list: HeaderList, index: number): string {
  return list[index] ?? ''
}

/** The pairs of a list, as `[name, value]`. */
export function* pairs(list: HeaderList): Generator<readonly [name: string, value: string]> {
  for (let at = 0; at + 1 < list.length; at += 2) yield [textAt(list, at), textAt(list, at + 1)]
}

/**
 * All values of a header, in order.
 * @param name In lower case; compared without regard to case but otherwise exactly, not folded.
 */
export function valuesOf(list: HeaderList, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i + 1 < list.length; i += 2) {
    const found = textAt(list, i)
    if (found.length !== name.length) continue
    if (found === name || found.toLowerCase() === name) values.push(textAt(list, i + 1))
  }
  return values
}

const NONE: ReadonlySet<string> = new Set()

/** The lower-case names that the `Connection` headers of a list declare to be hop-by-hop. */
export function connectionOptions(list: HeaderList): ReadonlySet<string> {
  const values = valuesOf(list, 'connection')
  return values.length === 0 ? NONE : optionsIn(values.join(','))
}

const optionsIn = remembered((list): ReadonlySet<string> => {
  const options = list.split(',').map(option => option.trim().toLowerCase())
  return new Set(options.filter(option => option !== ''))
})
