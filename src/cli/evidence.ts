/**
 * What each check expects and what was there instead: the words beside a verdict that the verifier
 * gave. Nothing here decides, and no token, signature or cookie is in any of it.
 */
import type { Config } from '../config/config.ts'
import type { Check } from '../core/checks.ts'
import type { Claims } from '../core/identity.ts'
import { parseJson } from '../core/json.ts'
import { quote } from '../core/verdict.ts'
import { accessTokenIssuers } from '../gate.ts'
import { findClaim, findText } from '../identity/claims.ts'
import { MAX_TOKEN_BYTES } from '../tokens/alb-token.ts'
import { decodeSegment } from '../tokens/shape.ts'
import { showMoment } from './moment.ts'

/** One token, read as leniently as it takes to say what is in it. */
export interface ReadToken {
  readonly token: string
  readonly header: Claims
  readonly payload: Claims
}

export interface Evidence {
  readonly config: Config
  /** Seconds since 1970. */
  readonly now: number
  /** Absent when none was sent. */
  readonly alb: ReadToken | undefined
  readonly access: ReadToken | undefined
  /** `x-amzn-oidc-identity`, latin-1 as node has it. */
  readonly identityHeader: string | undefined
  /** Where a key is looked for, without credentials. */
  readonly albKeySource: string
  readonly accessKeySource: string
}

export interface Shown {
  readonly expected: string
  readonly found: string
  /** Whether nothing is configured that could fail. */
  readonly isUnasked?: boolean
}

/** The claims of a token, whatever else is wrong with it. */
export function readLeniently(token: string): ReadToken {
  const [header = '', payload = ''] = token.split('.')
  return { token, header: claimsIn(header), payload: claimsIn(payload) }
}

function claimsIn(segment: string): Claims {
  const value = parseJson(Buffer.from(segment, 'base64url').toString('utf8'))
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const NONE: ReadToken = { token: '', header: {}, payload: {} }

/** @param check Of the table; the token that it is about need not be there. */
export function evidenceFor(check: Check, evidence: Evidence): Shown {
  return SHOWN[check](evidence.config, {
    ...evidence,
    alb: evidence.alb ?? NONE,
    access: evidence.access ?? NONE,
  })
}

interface Tokens extends Evidence {
  readonly alb: ReadToken
  readonly access: ReadToken
}

const BYTES = `at most ${MAX_TOKEN_BYTES} bytes`
const SHAPE = 'header.payload.signature, each in canonical base64url, the first two JSON objects'

const SHOWN: Readonly<Record<Check, (config: Config, evidence: Tokens) => Shown>> = {
  alb_size: (_, { alb }) => ({ expected: BYTES, found: `${alb.token.length} bytes` }),
  alb_shape: (_, { alb }) => ({
    expected: `${SHAPE}, a signature of 64 bytes`,
    found: shapeOf(alb),
  }),
  alb_algorithm: (_, { alb }) => ({ expected: "'ES256', no crit", found: algorithmOf(alb) }),
  alb_signer: ({ albArns }, { alb }) => ({
    expected: oneOf(albArns.map(arn => arn.text)),
    found: quote(alb.header['signer'], 256),
  }),
  alb_client: ({ albClientIds }, { alb }) => ({
    expected: oneOf(albClientIds),
    found: quote(alb.header['client']),
    isUnasked: albClientIds === undefined,
  }),
  alb_issuer: ({ oidcIssuer }, { alb: { header, payload } }) => ({
    expected: oneOf(oidcIssuer),
    found: `${quote(header['iss'])}${'iss' in payload && payload['iss'] !== header['iss'] ? `, and ${quote(payload['iss'])} in the payload` : ''}`,
    isUnasked: oidcIssuer === undefined,
  }),
  alb_expiry: ({ clockToleranceMs }, { alb: { header, payload }, now }) => ({
    expected: `exp not more than ${clockToleranceMs / 1000} s before ${showMoment(now)}`,
    found: [header['exp'], ...('exp' in payload ? [payload['exp']] : [])]
      .map(exp => whenIs(exp, now))
      .filter((text, at, all) => all.indexOf(text) === at)
      .join(', and in the payload '),
  }),
  alb_kid: (_, { alb }) => ({ expected: 'a UUID', found: quote(alb.header['kid']) }),
  alb_key: (_, { alb, albKeySource }) => ({
    expected: `a P-256 key from ${albKeySource}`,
    found: `key ${quote(alb.header['kid'])}`,
  }),
  alb_signature: (_, { alb }) => ({
    expected: 'ES256 over the bytes as they were received',
    found: alb.token.includes('=')
      ? 'segments with their padding, as the load balancer writes them'
      : 'segments without padding',
  }),
  alb_subject: (_, { alb }) => ({ expected: 'text', found: quote(alb.payload['sub']) }),
  alb_identity: (_, { alb, identityHeader }) => ({
    expected: `${quote(alb.payload['sub'])}, the signed sub`,
    found: identityHeader === undefined ? 'not sent' : quote(identityHeader),
    isUnasked: identityHeader === undefined,
  }),

  access_present: ({ accessToken }, evidence) => ({
    expected: `x-amzn-oidc-accesstoken, under ACCESS_TOKEN=${accessToken}`,
    found: evidence.access.token === '' ? 'none' : 'one',
  }),
  access_form: (_, { access }) => ({
    expected: 'three segments, of which the first is a JSON object',
    found: `${access.token.split('.').length} segments`,
  }),
  access_size: (_, { access }) => ({ expected: BYTES, found: `${access.token.length} bytes` }),
  access_shape: (_, { access }) => ({ expected: SHAPE, found: shapeOf(access) }),
  access_algorithm: ({ accessTokenAlgorithms }, { access }) => ({
    expected: `${oneOf(accessTokenAlgorithms)}, no crit`,
    found: algorithmOf(access),
  }),
  access_key: (_, { access, accessKeySource }) => ({
    expected: `a key for the algorithm from ${accessKeySource}`,
    found: `kid ${quote(access.header['kid'])}`,
  }),
  access_signature: (_, { access }) => ({
    expected: 'a signature over the bytes as they were received',
    found: algorithmOf(access),
  }),
  access_issuer: (config, { access }) => ({
    expected: oneOf(accessTokenIssuers(config)),
    found: quote(access.payload['iss']),
  }),
  access_times: ({ clockToleranceMs }, { access: { payload }, now }) => ({
    expected: `exp after and nbf, iat before ${showMoment(now)}, give or take ${clockToleranceMs / 1000} s`,
    found: ['exp', 'nbf', 'iat']
      .filter(name => name === 'exp' || name in payload)
      .map(name => `${name} ${whenIs(payload[name], now)}`)
      .join('; '),
  }),
  access_audience: ({ accessTokenAudiences }, { access }) => ({
    expected: oneOf(accessTokenAudiences),
    found: [access.payload['aud']]
      .flat()
      .slice(0, 10)
      .map(aud => quote(aud))
      .join(', '),
    isUnasked: accessTokenAudiences.length === 0,
  }),
  access_client: (config, { access }) => ({
    expected: `${oneOf(config.albClientIds)} under ${config.accessTokenClientClaims.join(' or ')}`,
    found: quote(findClaim(access.payload, config.accessTokenClientClaims)),
    isUnasked: config.albClientIds === undefined,
  }),
  access_use: ({ requireTokenUse }, { access: { header, payload } }) => ({
    expected: requireTokenUse
      ? "token_use 'access'"
      : 'no token_use, typ or at_hash of another kind of token',
    found: `token_use ${quote(payload['token_use'])}, typ ${quote(header['typ'])}`,
  }),
  access_subject: ({ accessTokenSubjectClaim }, { access }) => ({
    expected: `text under ${accessTokenSubjectClaim}`,
    found: quote(access.payload[accessTokenSubjectClaim]),
  }),
  access_binding: ({ accessTokenSubjectClaim }, { alb, access }) => ({
    expected: `${quote(alb.payload['sub'])}, the load balancer's sub`,
    found: `${quote(access.payload[accessTokenSubjectClaim])} under ${accessTokenSubjectClaim}`,
  }),

  user: ({ userClaims }, { alb }) => ({
    expected: `text under ${userClaims.join(' or ')} in the load balancer's token`,
    found: quote(findText(alb.payload, userClaims)),
  }),
  email_verified: ({ requireEmailVerified }, { alb }) => ({
    expected: "true, or the text 'true', under email_verified",
    found: showClaim(alb.payload['email_verified']),
    isUnasked: !requireEmailVerified,
  }),
  groups: ({ groupsClaims, groupsSources }, { alb, access }) => ({
    expected: `groups under ${groupsClaims.join(' or ')} in ${groupsSources.join(', then ')}`,
    found: groupsSources
      .map(source => {
        const { payload } = source === 'alb' ? alb : access
        return `${showClaim(findClaim(payload, groupsClaims))} in ${source}`
      })
      .join(', '),
  }),
  allowed_groups: ({ allowedGroups }) => ({
    expected: oneOf(allowedGroups),
    found: 'see the groups above, after map and case',
    isUnasked: allowedGroups.length === 0,
  }),
  allowed_domains: ({ allowedEmailDomains, emailClaims }, { alb }) => ({
    expected: `an address in ${oneOf(allowedEmailDomains)}`,
    found: quote(findText(alb.payload, emailClaims)),
    isUnasked: allowedEmailDomains.length === 0,
  }),
  groups_size: ({ groupsMaxBytes }) => ({
    expected: `a groups header of at most ${groupsMaxBytes} bytes`,
    found: 'the groups as told to the application',
  }),
}

/** At most ten of them: an operator knows the rest. */
function oneOf(accepted: readonly string[] | undefined): string {
  if (accepted === undefined || accepted.length === 0) return 'any'
  const shown = accepted.slice(0, 10).map(each => quote(each, 256))
  return `${shown.length > 1 ? 'one of ' : ''}${shown.join(', ')}${accepted.length > 10 ? ', …' : ''}`
}

function algorithmOf({ header }: ReadToken): string {
  return `${quote(header['alg'], 16)}${'crit' in header ? ', with crit' : ''}`
}

/** A time of a token beside now. */
function whenIs(value: unknown, now: number): string {
  if (typeof value !== 'number') return quote(value)
  const away = Math.round(Math.abs(value - now))
  return `${showMoment(value)} (${away} s ${value < now ? 'ago' : 'ahead'})`
}

/** A claim as short as it can be told: text as it is, of everything else how much there is. */
function showClaim(value: unknown): string {
  if (Array.isArray(value)) return `${value.length} groups`
  return typeof value === 'boolean' || typeof value === 'number' ? String(value) : quote(value)
}

/** What there is of the three segments, without a byte of them. */
function shapeOf({ token, header, payload }: ReadToken): string {
  const segments = token.split('.')
  if (segments.length !== 3) return `${segments.length} segments`
  const names = ['header', 'payload', 'signature']
  const odd = segments.flatMap((segment, at) =>
    decodeSegment(segment) === undefined ? names.slice(at, at + 1) : [],
  )
  if (odd.length > 0) return `no canonical base64url in the ${odd.join(' and ')}`
  const empty = [header, payload].some(claims => Object.keys(claims).length === 0)
  if (empty) return 'header or payload is not a JSON object with members'
  const signature = Buffer.from(segments.slice(2).join(), 'base64url')
  return `three segments, a signature of ${signature.length} bytes`
}
