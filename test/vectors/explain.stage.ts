/**
 * `explain` of tokens that real load balancers signed: good in their time, expired today, offline.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseAlbArn } from '../../src/tokens/alb-arn.ts'
import { readVectors } from '../fixtures/token-vectors.ts'

interface RealToken {
  readonly source: string
  readonly header: Readonly<Record<'kid' | 'iss' | 'client' | 'signer', string>> & { exp: number }
  readonly token: string
  readonly publicKeyPem: string
}

const folder = mkdtempSync(join(tmpdir(), 'explain-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})

function explain({ header, token, publicKeyPem }: RealToken, ...args: readonly string[]) {
  const key = join(folder, `${header.kid}.pem`)
  writeFileSync(key, publicKeyPem)
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['dist/main.js', 'explain', '--key', key, ...args, '-'],
    {
      input: token,
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        ALB_ARNS: header.signer,
        ALB_CLIENT_IDS: header.client,
        OIDC_ISSUER: header.iss,
        USER_CLAIM: 'sub',
      },
    },
  )
  return { status, output: stdout + stderr }
}

t.test('each real token is explained as it was', t => {
  const tokens = readVectors(t, 'real-alb-tokens.json') as readonly RealToken[] | undefined
  // One names no load balancer in particular, which cannot be configured.
  const usable = (tokens ?? []).filter(({ header }) => parseAlbArn(header.signer) !== undefined)
  t.ok(usable.length > 0, 'there is one to explain')
  for (const real of usable) {
    const then = explain(real, '--at', String(real.header.exp - 60))
    t.match(then, { status: 0, output: /✓ signed by that key[^]*✓ authenticated as/ }, real.source)
    const today = explain(real)
    t.match(today, { status: 1, output: /✗ not expired: token_expired[^]*advice .*--at / })
    const stripped = { ...real, token: real.token.replaceAll('=', '') }
    const bare = explain(stripped, '--at', String(real.header.exp - 60))
    t.match(bare, { status: 1, output: /✗ signed by that key[^]*lost it/ })
    for (const piece of real.token.split('.')) t.notOk(then.output.includes(piece), 'no token')
  }
  t.end()
})
