/**
 * Signs as an Application Load Balancer signs `x-amzn-oidc-data`, to the byte.
 *
 * ES256 with JOSE's 64-byte signature; base64url that keeps its `=` padding in all three segments,
 * and the padding is part of what is signed; header fields in AWS's order; `exp` and `iss` repeated
 * in the payload, as in the tokens of a Cognito user pool. What a test needs to be wrong, it says.
 */

import { generateKeyPairSync, randomUUID, sign as signBytes } from 'node:crypto'

export type Fields = Readonly<Record<string, unknown>>

export interface SignerOptions {
  /** The load balancer's ARN: what the token's `signer` says. */
  readonly arn: string
  readonly client: string
  readonly issuer: string
  /** Default: a new UUID, as AWS's are. */
  readonly kid?: string
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: () => number
}

export interface Overrides {
  /** Fields that replace the header's or come after them; `undefined` leaves a field out. */
  readonly header?: Fields
  /** The same for the payload. */
  readonly payload?: Fields
  /** Default `true`, as an ALB does. */
  readonly padding?: boolean
}

export interface Signer {
  readonly arn: string
  readonly client: string
  readonly issuer: string
  readonly kid: string
  /** SPKI, as the key endpoint serves it. */
  readonly publicKeyPem: string
  /** A token with these userinfo claims, good for {@link LIFETIME_SECONDS} from now. */
  readonly sign: (claims: Fields, overrides?: Overrides) => string
  /** Signs two texts as they stand: for duplicate keys, odd numbers and what is no JSON at all. */
  readonly signSegments: (
    headerText: string,
    payloadText: string,
    options?: { readonly padding?: boolean },
  ) => string
}

/** How long a token is good for. AWS does not say how long its own are; minutes, by all accounts. */
export const LIFETIME_SECONDS = 120

/** One load balancer's key: a fresh P-256 pair under one `kid`. */
export function createSigner({
  arn,
  client,
  issuer,
  kid = randomUUID(),
  now = Date.now,
}: SignerOptions): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  const signSegments: Signer['signSegments'] = (
    headerText,
    payloadText,
    { padding = true } = {},
  ) => {
    const encode = padding ? paddedBase64url : base64url
    const signed = `${encode(Buffer.from(headerText))}.${encode(Buffer.from(payloadText))}`
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
    return `${signed}.${encode(signBytes('sha256', Buffer.from(signed), key))}`
  }

  return {
    arn,
    client,
    issuer,
    kid,
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    signSegments,
    sign: (claims, { header, payload, padding = true } = {}) => {
      const exp = Math.floor(now() / 1000) + LIFETIME_SECONDS
      const named = { typ: 'JWT', kid, alg: 'ES256', iss: issuer, client, signer: arn, exp }
      return signSegments(
        JSON.stringify({ ...named, ...header }),
        JSON.stringify({ ...claims, exp, iss: issuer, ...payload }),
        { padding },
      )
    },
  }
}

const base64url = (bytes: Buffer): string => bytes.toString('base64url')

const paddedBase64url = (bytes: Buffer): string => {
  const text = base64url(bytes)
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}
