/**
 * What an attacker can have written into the log: lines of their own, control codes for the terminal
 * that shows it, secrets of others, or so much that it costs the one who pays for it (THREATS T-91).
 */
import t from 'tap'
import { eventually } from '../fixtures/patience.ts'
import { openRaw } from '../fixtures/raw.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { startRig, type Rig } from '../fixtures/sidecar.ts'
import { logged, visit } from '../fixtures/visit.ts'
import { each } from './rows.ts'

const recorder = await startRecorder(t)
const settings = {
  ...{ ACCESS_LOG: 'all', LOG_LEVEL: 'debug', NOAUTH_PATHS: '/noauth/v1/challenge_poller/*' },
}
const [json, naming] = await Promise.all([
  startRig(t, recorder.port, settings),
  startRig(t, recorder.port, { ...settings, LOG_SUBJECT: 'true' }),
])
const LINE = '\n{"level":60,"msg":"forged"}\n'
const CODES = '\x1b]0;forged\x07\x1b[2J\r\x9b31m\u2028\u2029\u0085'

/** Requests that put `text` wherever a request has a place for it. */
function ways({ signer, token }: Rig, text: string): string[][] {
  const sign = (header: object, claims: object = {}) =>
    signer.sign({ sub: 'a', email: 'a@b.c', ...claims }, { header: { ...header } })
  const fields = ['signer', 'kid', 'alg', 'iss', 'client', 'exp', 'typ', 'x']
  const claims = ['sub', 'email', 'groups', 'name', 'email_verified', 'iss', 'exp']
  return [
    ...fields.map(field => [`X-Amzn-Oidc-Data: ${sign({ [field]: text })}`]),
    ...claims.map(claim => [`X-Amzn-Oidc-Data: ${sign({}, { [claim]: text })}`]),
    [`X-Amzn-Oidc-Data: ${token()}`, `X-Amzn-Oidc-Identity: ${Buffer.from(text).toString('hex')}`],
  ]
}

/** Waits for the lines of requests that were sent; each gives one. */
const settle = async (rig: Rig, count: number) =>
  eventually(() => rig.output().split('"requestId"').length > count)

t.test('no line is written but ours, and each is one', async t => {
  const rows = ways(json, LINE).concat(ways(json, CODES))
  await each(rows, async headers => {
    await visit(json.port, { target: '/x', headers })
  })
  await settle(json, rows.length)
  const output = json.output()
  t.notMatch(
    logged(output).filter(({ msg }) => msg === 'forged'),
    [{ msg: 'forged' }],
  )
  const odd = output.split('\n').filter(line => line !== '' && !line.startsWith('{"level":'))
  t.same(odd, [], 'every line is a record')
  t.notMatch(output, /[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/, 'and nothing in it moves a cursor')
})

/** U+009B begins a control sequence as `ESC [` does, and JSON has no need to escape it. */
t.test('nor by whoever is named on purpose', async t => {
  const rows = [LINE, CODES, 'é', '\u{1f600}', '\ud800', '\x7f'].map(text => [
    `X-Amzn-Oidc-Data: ${naming.token({ sub: `a${text}` })}`,
  ])
  await each(rows, async headers => {
    t.equal((await visit(naming.port, { target: '/x', headers })).status, 200)
  })
  await settle(naming, rows.length)
  const subjects = logged(naming.output()).flatMap(({ subject }) => subject ?? [])
  t.equal(subjects.length, rows.length, 'all of them')
  t.ok(subjects.includes('aé'), 'and who reads the record reads the name')
  t.notMatch(naming.output(), /[^\n\x20-\x7e]/)
})

/** ConsoleMe's challenge tokens are in the path of an open route: who reads the log could use them. */
t.test('what opens something for its bearer is not written down', async t => {
  const secret = 'canary-5f1c7b1e'
  const targets = [
    `/noauth/v1/challenge_poller/${secret}`,
    `/noauth/v1/challenge_poller/${secret}?a=${secret}`,
    `/x?access_token=${secret}`,
    `/x?code=${secret}&state=${secret}`,
  ]
  for (const target of targets) {
    for (const headers of [
      [],
      [`Authorization: Bearer ${secret}`, `Cookie: AWSELBAuthSessionCookie-0=${secret}`],
      [`X-Amzn-Oidc-Data: ${json.token({ jti: secret })}`, `X-Amzn-Oidc-Accesstoken: ${secret}`],
      [`X-Amzn-Oidc-Data: ${secret}`, `X-Api-Key: ${secret}`, `${secret}: a`, `Referer: ${secret}`],
    ]) {
      await visit(json.port, { target, headers })
    }
  }
  for (const bytes of [
    `GET /${secret} HTTP/3.0\r\n\r\n`,
    `${secret}\r\n\r\n`,
    `GET / HTTP/1.1\r\n${secret}\r\n\r\n`,
  ]) {
    const connection = openRaw(json.port)
    connection.write(bytes)
    t.ok(await connection.closed())
  }
  const before = logged(json.output()).length
  await visit(json.port, { target: '/the-last-one' })
  t.ok(await eventually(() => json.output().includes('/the-last-one')))
  t.ok(logged(json.output()).length > before)
  t.notMatch(json.output(), secret)
  const payload = Buffer.from(secret).toString('base64url').slice(0, 12)
  t.notMatch(json.output(), payload, 'nor in the encoding of a token')
})

t.test('the longest request makes a short line', async t => {
  const long = 'y'.repeat(15_000)
  const before = json.output().length
  await visit(json.port, { target: `/${long}?${long}`, headers: [`User-Agent: ${long}`] })
  const [token] = [json.signer.sign({ sub: 'a' }, { header: { signer: long.slice(0, 9_000) } })]
  await visit(json.port, { target: '/longest', headers: [`X-Amzn-Oidc-Data: ${token}`] })
  t.ok(await eventually(() => json.output().slice(before).includes('/longest')))
  const lengths = json
    .output()
    .slice(before)
    .split('\n')
    .map(line => line.length)
  t.ok(Math.max(...lengths) <= 4_096, `at most ${Math.max(...lengths)} bytes`)
})
