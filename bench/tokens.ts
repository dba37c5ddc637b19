/**
 * The tokens of a run: those of one load balancer and one Cognito user pool, for one user, good for an
 * hour. What the ALB signs here has padding after its signature only, because header and payload are
 * multiples of three bytes long: HAProxy, which cannot take padding, can then cut it off, and every
 * peer is sent the same bytes.
 */

import { generateKeyPairSync, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { createSigner } from '../simulator/signer.ts'

const signAside = promisify(sign)

export const CLIENT = '4fmvht22tjrgd7d3k3tghttct7'
export const ISSUER = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example'
export const ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/bench1/0123456789abcdef'
export const SUBJECT = '6f1c2a34-0000-4000-8000-00000000a11c'
export const EMAIL = 'alice@example.com'
/** In the ALB token: what user pools return of a user is about that much longer than it must be. */
export const USUAL_FILLER_BYTES = 500
/** As many as make an access token of about 1.2 KB. */
export const USUAL_GROUPS = 20

const inAnHour = () => Date.now() + 3_600_000
const expiry = () => Math.floor(inAnHour() / 1_000)

const identity = { arn: ARN, client: CLIENT, issuer: ISSUER, now: inAnHour }
const alb = createSigner(identity)
const forger = createSigner({ ...identity, kid: alb.kid })
const pool = generateKeyPairSync('rsa', { modulusLength: 2048 })
const POOL_KID = 'bench-pool-key'

/** The public halves, in the forms that those who verify read them in. */
export const KEYS = {
  albKid: alb.kid,
  albPem: alb.publicKeyPem,
  poolPem: pool.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  jwks: JSON.stringify({
    keys: [
      { ...pool.publicKey.export({ format: 'jwk' }), kid: POOL_KID, alg: 'RS256', use: 'sig' },
    ],
  }),
}

const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** No two are the same, for ECDSA draws a number for each. */
export function albToken(fillerBytes: number, forged: boolean): string {
  const claims = { sub: SUBJECT, email: EMAIL, email_verified: 'true', username: 'alice' }
  const fields = { ...claims, picture: 'https://cdn.example.com/', exp: expiry(), iss: ISSUER }
  const bare = JSON.stringify(fields).length + fillerBytes
  fields.picture += 'p'.repeat(fillerBytes + ((3 - (bare % 3)) % 3))
  const header = { typ: 'JWT', kid: alb.kid, alg: 'ES256', iss: ISSUER, client: CLIENT }
  const headerText = JSON.stringify({ ...header, signer: ARN, exp: expiry() })
  return (forged ? forger : alb).signSegments(inThrees(headerText), JSON.stringify(fields))
}

/** With spaces before its last brace, which mean nothing in JSON. */
const inThrees = (text: string) => `${text.slice(0, -1)}${' '.repeat((3 - (text.length % 3)) % 3)}}`

/** @param serial Makes it differ from any other: RSA draws nothing. */
export async function accessToken(serial: number, groups = USUAL_GROUPS): Promise<string> {
  const header = { kid: POOL_KID, alg: 'RS256' }
  const claims = {
    sub: SUBJECT,
    'cognito:groups': Array.from({ length: groups }, (_, i) => `team-${i + 1000}`),
    ...{ iss: ISSUER, client_id: CLIENT, token_use: 'access', scope: 'openid' },
    ...{ auth_time: expiry() - 3_600, iat: expiry() - 3_600, exp: expiry() },
    ...{ username: 'alice', jti: `00000000-0000-4000-8000-${String(serial).padStart(12, '0')}` },
  }
  const signed = `${base64url(header)}.${base64url(claims)}`
  const signature = await signAside('sha256', Buffer.from(signed), pool.privateKey)
  return `${signed}.${signature.toString('base64url')}`
}
