/**
 * Header lists: nothing is left that reads like a header or a cookie of ours, and what is admitted can be
 * framed in one way only.
 */
import fc from 'fast-check'
import type { ReceivedHeaders } from '../../src/core/headers.ts'
import { ownedCookies, withoutCookies } from '../../src/headers/cookies.ts'
import { createScrub } from '../../src/headers/scrub.ts'
import { createAdmit } from '../../src/server/admit.ts'
import { pathPiece } from './paths.ts'
import { joined, oneOf, type Property } from './property.ts'

const OWNED = ['x-forwarded-user', 'user_header', 'x-real-ip']
const scrub = createScrub({
  ...{ owned: OWNED, listed: ['x-original-url'], nonstandard: 'drop', ownCookies: ['marker'] },
  ...{ sessionCookie: 'AWSELBAuthSessionCookie', guardedCookies: ['consoleme_auth'] },
})
const keepingScrub = createScrub({
  ...{ owned: OWNED, listed: [], nonstandard: 'keep', ownCookies: [], guardedCookies: [] },
  sessionCookie: 'a',
})
const headerName = fc.oneof(
  fc
    .tuple(
      oneOf('x-forwarded-user', 'user-header', 'x-real-ip', 'x-amzn-oidc-data', 'x-amzn-oidc-new'),
      fc.array(oneOf('-', '_', '.', '~', '+', "'", '*', '!'), { minLength: 4, maxLength: 4 }),
      fc.array(fc.boolean(), { minLength: 24, maxLength: 24 }),
    )
    .map(([name, separators, upper]) => {
      let next = 0
      return name.replace(/-|[a-z]/g, (each, at: number) => {
        if (each === '-') return separators[next++ % 4] ?? '-'
        return upper[at] === true ? each.toUpperCase() : each
      })
    }),
  oneOf(
    'Connection',
    'Cookie',
    'Host',
    'TE',
    'Content-Length',
    'X-Original-Url',
    'Accept',
    '__proto__',
  ),
  joined(oneOf('x', 'X', '-', '_', 'a', '.', '`'), 6),
)
export const headerList = fc
  .array(fc.tuple(headerName, fc.oneof(headerName, oneOf('a=b; marker=1', 'x, y', ''))), {
    maxLength: 8,
  })
  .map(pairs => pairs.flat() as readonly string[] as ReceivedHeaders)
/** As the laxest application reads a name; written again here on purpose. */
export const laxly = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '_')
const isForeign = (name: string) =>
  OWNED.map(laxly).includes(laxly(name)) || laxly(name).startsWith('x_amzn_oidc_')
export const folding: Property = {
  name: 'nothing that folds to a header of ours is left',
  share: 150_000,
  property: fc.property(
    headerList,
    oneOf<'open' | 'guarded'>('open', 'guarded'),
    (received, route) =>
      [scrub, keepingScrub].every(clean => {
        const scrubbed = clean(received, route)
        if ('outcome' in scrubbed) return false
        const left = scrubbed.headers.filter((_, at) => at % 2 === 0)
        return !left.some(isForeign)
      }),
  ),
}

const isOwnedCookie = ownedCookies(['consoleme_auth', 'marker'], 'AWSELBAuthSessionCookie')
const cookiePiece = fc.oneof(
  oneOf(
    'consoleme_auth',
    'CONSOLEME.AUTH',
    'consoleme%5Fauth',
    'marker',
    'AWSELBAuthSessionCookie-0',
    'AWSELBAuthSessionCookie',
  ),
  oneOf('=', '=', ';', '; ', ',', '"', ' ', '\t', '\xa0', '%', '$', 'a', 'b', '[', ']', '.'),
)
/** Names that a plain parser finds: between `;` and `=`, trimmed. */
const cookieNames = (value: string) =>
  value.split(';').map(each => (each.split('=')[0] ?? '').trim())
export const cookies: Property = {
  name: 'no cookie of ours is left, and the others are in order',
  share: 100_000,
  property: fc.property(joined(cookiePiece, 16), value => {
    const left = withoutCookies(value, isOwnedCookie)
    // What is left is what was there with pieces taken out: each is found behind the one before it.
    const pieces = value.split(';').map(each => each.trim())
    let at = 0
    const isInOrder = left.split(';').every(each => {
      at = pieces.indexOf(each.trim(), at) + 1
      return at > 0 || left === ''
    })
    const names = cookieNames(left)
    const gone = [
      'consoleme_auth',
      'marker',
      'AWSELBAuthSessionCookie',
      'AWSELBAuthSessionCookie-0',
    ]
    return (
      isInOrder &&
      !names.some(name => gone.includes(name)) &&
      withoutCookies(left, isOwnedCookie) === left
    )
  }),
}

const disguised = fc.oneof(
  oneOf('consoleme', 'auth', '_', '-', '.', '%5F', '%63', 'C', 'AWSELB', 'Auth', 'SessionCookie'),
  oneOf('=', ';', ',', ' ', '\xa0', '[', '\0', '%', '%6', '%25', '"', '\u212a', 'ſ', 'marker'),
)
export const remembering: Property = {
  name: 'a remembered name is judged as a new one',
  share: 100_000,
  property: fc.property(joined(disguised, 16), value => {
    const anew = ownedCookies(['consoleme_auth', 'marker'], 'AWSELBAuthSessionCookie')
    return withoutCookies(value, isOwnedCookie) === withoutCookies(value, anew)
  }),
}

const admit = createAdmit({ maxHeaders: 200, maxHeaderBytes: 81_920 })
const framingHeaders = fc
  .array(
    fc.tuple(
      oneOf(
        'Content-Length',
        'Transfer-Encoding',
        'Host',
        'Expect',
        'Upgrade',
        'content_length',
        'X',
      ),
      fc.oneof(
        oneOf(
          '0',
          '5',
          '05',
          '+5',
          '5,5',
          'chunked',
          'Chunked',
          'gzip, chunked',
          'a',
          'a:1',
          '100-continue',
        ),
        fc.string({ maxLength: 6 }),
      ),
    ),
    { maxLength: 6 },
  )
  .map(pairs => ['Host', 'a', ...pairs.flat()])
export const admitted: Property = {
  name: 'what is admitted has one framing and one host',
  share: 100_000,
  property: fc.property(
    framingHeaders,
    fc.oneof(
      joined(pathPiece, 4).map(rest => `/${rest}`),
      fc.string({ maxLength: 8 }),
    ),
    oneOf('1.1', '1.0', '2.0', '0.9'),
    oneOf('GET', 'POST', 'CONNECT', 'TRACE'),
    (headers, target, httpVersion, method) => {
      const found = admit({ headers, target, httpVersion, method })
      if (found.outcome === 'rejected') return true
      const values = (name: string) =>
        headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name)
      const lengths = values('content-length')
      const codings = values('transfer-encoding')
      const isFramed =
        found.body.kind === 'none'
          ? lengths.length + codings.length === 0
          : found.body.kind === 'chunked'
            ? codings.join() === 'chunked' && lengths.length === 0 && httpVersion === '1.1'
            : codings.length === 0 && lengths.join() === String(found.body.bytes)
      const isPlain = /^\/[!-~]*$/.test(target) && !/[#\\]/.test(target)
      return (
        isFramed &&
        isPlain &&
        values('host').length === 1 &&
        /^1\.[01]$/.test(httpVersion) &&
        !/CONNECT|TRACE/.test(method)
      )
    },
  ),
}
