/**
 * What must hold for any input at all, each with the inputs that are likely to break it.
 */
import { createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import { ConfigFault, loadConfig } from '../../src/config/config.ts'
import { SETTINGS as TABLE } from '../../src/config/settings.ts'
import type { ReceivedHeaders } from '../../src/core/headers.ts'
import { createGate } from '../../src/gate.ts'
import { ownedCookies, withoutCookies } from '../../src/headers/cookies.ts'
import { createInject } from '../../src/headers/inject.ts'
import { createScrub } from '../../src/headers/scrub.ts'
import { createNormalize } from '../../src/identity/normalize.ts'
import { SILENT } from '../../src/cli/silent.ts'
import { systemClock } from '../../src/core/clock.ts'
import { decide } from '../../src/pipeline.ts'
import { matches } from '../../src/route/pattern.ts'
import { createRoutes } from '../../src/route/routes.ts'
import { parseRule } from '../../src/route/rules.ts'
import { createAdmit } from '../../src/server/admit.ts'
import { ownLocation } from '../../src/session/session.ts'
import { readCompact } from '../../src/tokens/shape.ts'
import { ALICE, SETTINGS, createLastingSigner } from '../fixtures/sidecar.ts'
import { ledOut } from './normalisers.ts'

export interface Property {
  readonly name: string
  /** Of a million cases, how many are of this one. */
  readonly share: number
  readonly property: fc.IRawProperty<unknown>
}

const oneOf = <Of>(...values: readonly Of[]) => fc.constantFrom(...values)
const joined = (piece: fc.Arbitrary<string>, maxLength = 12) =>
  fc.array(piece, { maxLength }).map(pieces => pieces.join(''))

/** Prefixes that rules open, as a path is judged and as it is read. */
const PREFIXES = ['/noauth/v1/challenge_poller/', '/open/', '/api/v1/get_roles', '/a-b']
const routes = createRoutes(
  PREFIXES.map(prefix => {
    const rule = parseRule(`${prefix}*`)
    if (typeof rule === 'string') throw new Error(rule)
    return rule
  }),
)
const pathPiece = fc.oneof(
  oneOf(
    '/',
    '.',
    '..',
    '/../',
    '/./',
    '//',
    ';',
    '\\',
    '%',
    '?',
    '#',
    'a',
    'admin',
    '%00',
    '\0',
    ' ',
  ),
  oneOf(
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%252e',
    '%252f',
    '%25',
    '%3b',
    '%3f',
    '%23',
    '%c0%ae',
    '%u002e',
  ),
  oneOf(
    '%e3%80%82',
    '%ef%bc%8f',
    '%09',
    '%0a',
    '%7f',
    '%80',
    '..;',
    ';x=',
    '%2e%2e',
    '%',
    'é',
    '…',
  ),
  fc.string({ maxLength: 3 }),
  fc.nat(255).map(byte => `%${byte.toString(16).padStart(2, '0')}`),
)

const openPath: Property = {
  name: 'an open path stays open whoever reads it',
  share: 300_000,
  property: fc.property(oneOf(...PREFIXES), joined(pathPiece), (prefix, rest) => {
    const target = prefix + rest
    const [path = ''] = target.split('?', 1)
    return routes('GET', target).kind === 'guarded' || ledOut(path, prefix).length === 0
  }),
}

const toRegExp = (pattern: string) =>
  new RegExp(
    `^${[...pattern].map(each => (each === '*' ? '[^]*' : each === '?' ? '[^]' : `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`)).join('')}$`,
  )
const patternText = joined(oneOf('*', '?', 'a', 'b', '/', '.', '+', '(', '$'), 8)
const pattern: Property = {
  name: 'a pattern matches what an expression of the same meaning does',
  share: 200_000,
  property: fc.property(
    patternText,
    joined(oneOf('a', 'b', '/', '.', '+', '*', '(', '$'), 8),
    (glob, text) => matches(glob, text) === toRegExp(glob).test(text),
  ),
}

const signer = createLastingSigner()
const token = signer.sign(ALICE)
const tokenText = fc.oneof(
  joined(oneOf('a', 'A', '-', '_', '=', '.', '+', '/', ' ', '\n', 'e30', 'e30.e30.AA', '\0'), 16),
  fc
    .tuple(
      fc.nat(token.length),
      fc.nat(4),
      joined(oneOf('=', '.', 'A', 'B', ' ', '\n', '+', 'é'), 3),
    )
    .map(([at, cut, put]) => token.slice(0, at) + put + token.slice(at + cut)),
  fc.tuple(fc.json(), fc.json()).map(([header, payload]) => {
    const encode = (text: string) => Buffer.from(text).toString('base64url')
    return `${encode(header)}.${encode(payload)}.AAAA`
  }),
)
const [PAYLOAD_HEAD = '', PAYLOAD_BODY = '', PAYLOAD_TAIL = ''] = token
  .replaceAll('=', '')
  .split('.')
const shape: Property = {
  name: 'a token has one spelling, but for its padding',
  share: 150_000,
  property: fc.property(tokenText, text => {
    const read = readCompact(text)
    if (read === undefined) return true
    const segments = text.split('.')
    const plain = segments.map(each => each.replace(/=+$/, ''))
    const isCanonical = plain.every((each, at) => {
      const back = Buffer.from(each, 'base64url').toString('base64url')
      return (
        back === each &&
        [each, each + '='.repeat((4 - (each.length % 4)) % 4)].includes(segments[at] ?? '')
      )
    })
    const isOurs = read.signature.toString('base64url') === PAYLOAD_TAIL
    const isSame = plain[0] === PAYLOAD_HEAD && plain[1] === PAYLOAD_BODY
    return (
      isCanonical &&
      read.signed === `${segments[0] ?? ''}.${segments[1] ?? ''}` &&
      (!isOurs || isSame || read.signed !== token)
    )
  }),
}

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
      return [...name]
        .map((each, at) => {
          if (each === '-') return separators[next++ % 4] ?? '-'
          return upper[at] === true ? each.toUpperCase() : each
        })
        .join('')
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
const headerList = fc
  .array(fc.tuple(headerName, fc.oneof(headerName, oneOf('a=b; marker=1', 'x, y', ''))), {
    maxLength: 8,
  })
  .map(pairs => pairs.flat() as readonly string[] as ReceivedHeaders)
/** As the laxest application reads a name; written again here on purpose. */
const laxly = (name: string) =>
  [...name.toLowerCase()].map(each => (/[a-z0-9]/.test(each) ? each : '_')).join('')
const isForeign = (name: string) =>
  OWNED.map(laxly).includes(laxly(name)) || laxly(name).startsWith('x_amzn_oidc_')
const folding: Property = {
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
const cookies: Property = {
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

const inject = createInject({
  ...{ userHeader: 'X-User', emailHeader: 'X-Email', groupsHeader: 'X-Groups', clientIpHeader: '' },
  ...{ groupsSeparator: ',', groupsFormat: 'list', groupsMaxBytes: 8_192, trustedHops: 1 },
  ...{ forwardOidcHeaders: 'none', enforcement: 'enforce' },
})
const normalize = createNormalize({
  ...{
    userClaims: ['email', '/a/b'],
    emailClaims: ['email'],
    groupsClaims: ['groups', 'toString'],
  },
  ...{
    groupsSources: ['access_token', 'alb'],
    groupsSplit: '',
    userCase: 'lower',
    groupsCase: 'keep',
  },
  ...{ keepsGroup: () => true, groupsMap: new Map(), allowedGroups: [], allowedEmailDomains: [] },
  requireEmailVerified: false,
})
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  oneOf('a,b', ' a', '%2C', '[a, b]', '["a"]', '\r\nX: y'),
)
const json = fc.oneof(text, fc.array(text, { maxLength: 5 }), fc.jsonValue({ maxDepth: 3 }))
const claims = fc.record(
  { email: json, groups: json, a: json, __proto__: fc.constant({}) },
  { requiredKeys: [] },
)
const says: Property = {
  name: 'claims become headers that say them and nothing else',
  share: 100_000,
  property: fc.property(
    claims,
    fc.option(claims, { nil: undefined }),
    (albClaims, accessClaims) => {
      const identity = normalize({
        ...{ subject: 'a', albClaims, expiresAt: 0 },
        ...(accessClaims && { accessClaims }),
      })
      if ('outcome' in identity) return true
      const assertion = inject.assert(identity, [] as readonly string[] as ReceivedHeaders, [])
      if ('outcome' in assertion) return true
      const found = new Map<string, string>()
      for (let at = 0; at < assertion.length; at += 2)
        found.set(assertion[at] ?? '', assertion[at + 1] ?? '')
      const isPlain = [...found.values()].every(each =>
        /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(each),
      )
      const wellFormed = (value: string) => Buffer.from(value).toString()
      const groups = found.get('X-Groups')?.split(',').map(decodeURIComponent) ?? []
      return (
        isPlain &&
        found.size * 2 === assertion.length &&
        decodeURIComponent(found.get('X-User') ?? '') === wellFormed(identity.user) &&
        JSON.stringify(groups) === JSON.stringify(identity.groups.map(wellFormed))
      )
    },
  ),
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
const admitted: Property = {
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

const location: Property = {
  name: 'a redirect to ourselves stays with us',
  share: 50_000,
  property: fc.property(
    joined(fc.oneof(pathPiece, oneOf('evil.example', '@', ':', 'http:')), 8),
    rest => {
      const target = `/${rest}`
      if (!/^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/.test(target)) return true
      const url = new URL(ownLocation(target), 'https://app.example.com/a/b')
      return url.origin === 'https://app.example.com'
    },
  ),
}

const variables = Object.values(TABLE).map(({ variable }) => variable)
const settingText = fc.oneof(
  fc.string({ maxLength: 12 }),
  oneOf(
    '',
    ' ',
    '0',
    '-1',
    '1e9',
    'true',
    'TRUE',
    '5s',
    '1h',
    '/*',
    'GET /a',
    '*',
    'http://a',
    'unix:/x',
    ',',
    '__proto__',
    'a,a',
    '[',
    '{}',
  ),
)
const configuration: Property = {
  name: 'any configuration is used or refused with what is wrong with it',
  share: 20_000,
  property: fc.property(
    // Files are not fuzzed: they would be read.
    fc.dictionary(oneOf(...variables.filter(each => !/FILE|DIR|TLS/.test(each))), settingText, {
      maxKeys: 4,
    }),
    given => {
      try {
        const { config } = loadConfig({ ...SETTINGS, UPSTREAM_URL: 'http://127.0.0.1:1', ...given })
        return Array.isArray(config.albArns) && config.albArns.length > 0
      } catch (error) {
        return error instanceof ConfigFault && error.faults.length > 0
      }
    },
  ),
}

const { config } = loadConfig({
  ...SETTINGS,
  NOAUTH_PATHS: '/open/*',
  UPSTREAM_URL: 'http://127.0.0.1:1',
})
const key = createPublicKey(signer.publicKeyPem)
const gate = await createGate(config, {
  clock: systemClock,
  telemetry: SILENT,
  keys: {
    alb: (_arn, kid) =>
      Promise.resolve(kid === signer.kid ? key : { reason: 'key_unknown', detail: '' }),
    accessToken: () => Promise.resolve({ reason: 'key_unknown', detail: '' }),
  },
})
const credential = fc.oneof(
  fc.constant<readonly string[]>([]),
  fc.constant(['X-Amzn-Oidc-Data', token]),
  tokenText.map(each => ['X-Amzn-Oidc-Data', each]),
)
const whole: Property = {
  name: 'nobody goes on but the user of the token, or nobody on an open path',
  share: 30_000,
  property: fc.asyncProperty(
    headerList,
    credential,
    fc.oneof(
      oneOf('/', '/a', '/open/a'),
      joined(pathPiece, 5).map(rest => `/open/${rest}`),
    ),
    async (others, own, target) => {
      const headers = ['Host', 'a', ...others, ...own]
      const decision = await decide(
        { httpVersion: '1.1', method: 'GET', target, headers },
        gate.steps,
      )
      if (!('headers' in decision)) return true
      const names = decision.headers.filter((_, at) => at % 2 === 0)
      const said = decision.headers.filter(
        (_, at) =>
          at % 2 === 1 &&
          /^x_(forwarded_(user|email|groups)|amzn_oidc_)/.test(laxly(names[(at - 1) / 2] ?? '')),
      )
      const expected = [ALICE.email, ALICE.email, 'dev,ops', own[1]]
      if (decision.verdict.outcome === 'authenticated') {
        return JSON.stringify(said) === JSON.stringify(expected)
      }
      return (
        said.length === 0 && target.startsWith('/open/') && decision.verdict.outcome === 'anonymous'
      )
    },
  ),
}

export const PROPERTIES: readonly Property[] = [
  ...[openPath, pattern, shape, folding, cookies, says, admitted, location, configuration, whole],
]
