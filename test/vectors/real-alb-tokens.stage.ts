/**
 * Tokens of real load balancers, found in public: each holds under its published key, in its time and
 * over its padding, and in no other way.
 */
import t, { type Test } from 'tap'
import type { AlbArn } from '../../src/tokens/alb-arn.ts'
import { createAlbVerifier } from '../../src/tokens/alb-token.ts'
import { parsePublicKey } from '../../src/tokens/pem-key.ts'
import { createClock } from '../fixtures/clock.ts'
import { recordTelemetry } from '../fixtures/token-telemetry.ts'
import { readVectors } from '../fixtures/token-vectors.ts'

interface RealToken {
  readonly source: string
  readonly header: Readonly<Record<'kid' | 'iss' | 'client' | 'signer', string>> & { exp: number }
  readonly token: string
  readonly publicKeyPem: string
}

/** As the operator of that load balancer would have it, at `seconds` since the epoch. */
function verifierAt(seconds: number, { header, publicKeyPem }: RealToken, signer = header.signer) {
  const key = parsePublicKey(publicKeyPem)
  if (typeof key === 'string') throw new Error(key)
  // Not through parseAlbArn: one token names no load balancer in particular.
  const arn: AlbArn = { text: signer, partition: 'aws', region: 'eu-central-1' }
  return createAlbVerifier({
    arns: [arn],
    clients: [header.client],
    issuers: [header.iss],
    toleranceSeconds: 5,
    clock: createClock(seconds),
    telemetry: recordTelemetry(),
    findKey: (_arn, kid) =>
      Promise.resolve(kid === header.kid ? key : { reason: 'key_unknown', detail: 'not that one' }),
  })
}

async function judged(t: Test, real: RealToken): Promise<void> {
  const { header, token } = real
  const inTime = verifierAt(header.exp - 60, real)
  t.match(await inTime(token), { outcome: 'verified', expiresAt: header.exp })
  const cases = [
    { is: 'today', verify: verifierAt(Date.now() / 1000, real), token, reason: 'token_expired' },
    {
      is: 'six seconds late',
      verify: verifierAt(header.exp + 6, real),
      token,
      reason: 'token_expired',
    },
    {
      is: 'where another load balancer is configured',
      verify: verifierAt(header.exp - 60, real, `${header.signer}0`),
      token,
      reason: 'signer_mismatch',
    },
    {
      is: 'with its padding stripped',
      verify: inTime,
      token: token.replaceAll('=', ''),
      reason: 'signature_invalid',
    },
  ]
  for (const { is, verify, token, reason } of cases) {
    t.match(await verify(token), { outcome: 'rejected', reason }, is)
  }
  let believed = 0
  for (let at = 0; at < token.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = String.fromCharCode(token.charCodeAt(at) ^ (1 << bit))
      const found = await inTime(token.slice(0, at) + flipped + token.slice(at + 1))
      if (found.outcome !== 'rejected') believed++
    }
  }
  t.equal(believed, 0, `with any one of ${token.length * 8} bits flipped it is refused`)
}

t.test('each real token holds in its time and in no other way', async t => {
  const tokens = readVectors(t, 'real-alb-tokens.json') as readonly RealToken[] | undefined
  if (tokens === undefined) return
  t.equal(tokens.length, 2)
  for (const real of tokens) await t.test(real.source, t => judged(t, real))
})
