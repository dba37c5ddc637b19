/**
 * The built program, in June 2023, against a token that a real ALB signed then.
 *
 * Debian's faketime moves the wall clock of the process and leaves the monotonic one alone; the real
 * public key is served from loopback through `ALB_KEY_URL`. Nothing else is arranged.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { machine as machineOf } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { ask, freePorts } from '../../simulator/loopback.ts'
import { startRecorder } from '../fixtures/recorder.ts'

const machine = machineOf()

interface RealToken {
  readonly header: Readonly<Record<'kid' | 'iss' | 'client' | 'signer', string>> & { exp: number }
  readonly token: string
  readonly publicKeyPem: string
}

const { header, token, publicKeyPem } = JSON.parse(
  readFileSync('test/fixtures/vectors/real-alb-token.json', 'utf8'),
) as RealToken

t.test('a real token is believed in its time', async t => {
  const statusOf = await startAt(t, header.exp - 60)
  t.equal(await statusOf(token), 200)
})

t.test('a real token with one bit changed is refused in its time', async t => {
  const statusOf = await startAt(t, header.exp - 60)
  for (const at of [0, 40, token.indexOf('.') + 20, token.lastIndexOf('.') + 5]) {
    t.equal(await statusOf(flipped(token, at)), 401, `at character ${at}`)
  }
})

t.test('a real token is refused once its time is over', async t => {
  const statusOf = await startAt(t, header.exp + 6)
  t.equal(await statusOf(token), 401)
})

function flipped(text: string, at: number): string {
  const changed = String.fromCharCode(text.charCodeAt(at) ^ 1)
  return text.slice(0, at) + changed + text.slice(at + 1)
}

/** Starts the sidecar at a moment of the past; resolves to a function from token to status. */
async function startAt(t: Test, seconds: number) {
  const app = await startRecorder(t)
  const keys = await startKeyServer({ keys: [{ kid: header.kid, publicKeyPem }] })
  t.teardown(keys.close)
  const [port = 0, adminPort = 0] = await freePorts([0, 0])
  const moment = new Date(seconds * 1000).toISOString().replace('T', ' ').slice(0, 19)
  const child = spawn(process.execPath, ['dist/main.js'], {
    env: {
      PATH: process.env['PATH'],
      TZ: 'UTC',
      // What the faketime command sets; it would stand between us and the process we mean to stop.
      LD_PRELOAD: `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`,
      FAKETIME: `@${moment}`,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      HOST: '127.0.0.1',
      PORT: String(port),
      ADMIN_HOST: '127.0.0.1',
      ADMIN_PORT: String(adminPort),
      UPSTREAM_URL: `http://127.0.0.1:${app.port}`,
      ALB_ARNS: header.signer,
      ALB_CLIENT_IDS: header.client,
      OIDC_ISSUER: header.iss,
      ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
      DRAIN_DELAY: '0s',
      ACCESS_LOG: 'all',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
    await exited
    clearTimeout(timer)
  })
  const admin = `http://127.0.0.1:${adminPort}`
  for (let tries = 0; tries < 100; tries++) {
    const isReady = await ask(admin, '/readyz').then(
      ({ status }) => status === 200,
      () => false,
    )
    if (isReady) break
    await sleep(100)
  }
  return async (jws: string) => {
    const before = app.requests().length
    const { status } = await ask(`http://127.0.0.1:${port}`, '/', [['X-Amzn-Oidc-Data', jws]])
    const forwarded = app.requests().length - before
    t.equal(forwarded, status === 200 ? 1 : 0, 'forwarded exactly when believed')
    if (status === 200) {
      const { headers = [] } = app.requests().at(-1) ?? {}
      t.ok(headers.includes('X-Forwarded-User: duke@sun.com'), 'as the user the ALB named')
    }
    return status
  }
}
