/**
 * `npm run bench:signatures`: what it costs to check a signature alone, ours against jose, against the thread
 * pool, and against `crypto.verify` given ECDSA's r ‖ s as JOSE writes it. In CPU microseconds of this
 * process, all its threads together, in turns; ratios are what to look at.
 */

import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { promisify } from 'node:util'
import { SignJWT, jwtVerify } from 'jose'
import { readCompact } from '../src/tokens/shape.ts'
import { verifySignature } from '../src/tokens/signature.ts'
import { quantile } from './statistics.ts'

const ROUNDS = 9
const TIMES = 2_000
const CLAIMS = { groups: Array.from({ length: 30 }, (_, i) => `engineering-team-${i + 10}`) }
const ISSUER = 'https://idp.example.com'
/** Checks that are under way at a time where they can be. */
const AT_ONCE = 8

type Check = () => unknown

const verifyPooled = promisify(verify)

async function checksOf(
  algorithm: 'RS256' | 'ES256',
): Promise<Readonly<Record<string, Check>> & { readonly ours: Check }> {
  const { publicKey: key, privateKey } =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2_048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signing = new SignJWT(CLAIMS).setProtectedHeader({ alg: algorithm }).setIssuer(ISSUER)
  const token = await signing.setExpirationTime('1h').sign(privateKey)
  const ours = () => {
    const read = readCompact(token)
    if (read === undefined || !verifySignature(algorithm, key, read)) throw new Error('refused')
    return read
  }
  const jose = () => jwtVerify(token, key, { algorithms: [algorithm], issuer: ISSUER })
  const { signed, signature } = ours()
  const bytes = Buffer.from(signed)
  const inOpenSslsForm = sign('sha256', bytes, privateKey)
  const pooled = () => verifyPooled('sha256', bytes, key, inOpenSslsForm)
  const both = { ours, jose, 'crypto.verify alone, on the thread pool': pooled }
  if (algorithm === 'RS256') return both
  return {
    ...both,
    'crypto.verify alone, ieee-p1363': () =>
      verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature),
  }
}

async function costOf(check: Check): Promise<number> {
  const before = process.cpuUsage()
  for (let i = 0; i < TIMES; i += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, check))
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / TIMES
}

process.stdout.write(`Node ${process.version}, CPU µs a token, medians of ${ROUNDS} rounds\n`)
for (const algorithm of ['RS256', 'ES256'] as const) {
  const checks = Object.entries(await checksOf(algorithm))
  const costs = checks.map(([name, check]) => ({ name, check, micros: Array<number>() }))
  for (let round = -1; round < ROUNDS; round++) {
    for (const { check, micros } of costs) {
      const cost = await costOf(check)
      if (round >= 0) micros.push(cost)
    }
  }
  const [{ micros: ours } = { micros: [] }] = costs
  for (const { name, micros } of costs) {
    const ratio = quantile(
      micros.map((cost, i) => cost / (ours[i] ?? NaN)),
      0.5,
    )
    const [median, times] = [quantile(micros, 0.5).toFixed(1), ratio.toFixed(2)]
    process.stdout.write(`${algorithm}  ${name}: ${median} µs, ${times} times ours\n`)
  }
}
