/**
 * Claims that a provider signed but a person chose: an e-mail address with two `@`, groups of every
 * shape, names that walk into prototypes, text said twice. The token is good in every row; what is
 * tried is what its claims can be taken for (THREATS T-13…T-16, T-40).
 *
 * @see oauth2-proxy GHSA-c5c4-8r6x-56w3 (the domain of an address with two `@`); PyJWT
 * GHSA-hxm8-2xgr-2p9m (padding, which ALBs write); CVE-2026-21710 (a header named `__proto__`)
 */
import t from 'tap'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import { ALICE, startRig, type Rig } from '../fixtures/sidecar.ts'
import { visit } from '../fixtures/visit.ts'
import { startOracle } from './oracle.ts'
import { each, tag } from './rows.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const [plain, strict] = await Promise.all([
  startRig(t, recorder.port, { GROUPS_CLAIM: 'toString,/constructor/name,/x/length,groups' }),
  startRig(t, recorder.port, {
    ALLOWED_EMAIL_DOMAINS: 'example.com',
    REQUIRE_EMAIL_VERIFIED: 'true',
    FORWARD_OIDC_HEADERS: 'none',
  }),
])
const said = {
  'x-forwarded-user': [ALICE.email] as string[],
  'x-forwarded-email': [ALICE.email] as string[],
  'x-forwarded-groups': ['dev,ops'] as string[],
  'x-amzn-oidc-data': [] as string[],
}
const oracle = await startOracle(plain, { assertable: said })

/** What becomes of a request with this token: its answer, and what the application was told. */
async function ask(rig: Rig, token: string, headers: readonly string[] = []) {
  const target = tag()
  const answer = await visit(rig.port, {
    target,
    headers: [`X-Amzn-Oidc-Data: ${token}`, ...headers],
  })
  const [request] = recorder.framed().filter(({ line }) => line.includes(` ${target} `))
  const told = (name: string) => valuesIn(request?.headers ?? [], name)
  return {
    status: answer.status,
    body: answer.body,
    arrived: request !== undefined,
    user: told('x-forwarded-user'),
    groups: told('x-forwarded-groups'),
    data: told('x-amzn-oidc-data'),
    rest: request?.headers ?? [],
  }
}

/** The payload as text, so that a key can stand in it twice. */
const textToken = ({ signer }: Rig, payload: string) => {
  const header = Buffer.from(signer.sign(ALICE).split('.')[0] ?? '', 'base64url').toString()
  return signer.signSegments(header, payload)
}
const { groups: _, ...UNGROUPED } = ALICE
const PAYLOAD = JSON.stringify(UNGROUPED).slice(1, -1)

t.test('whoever has no name is nobody', async t => {
  const names = [7, 0, true, null, '', '   ', '\t\r\n', [], ['alice@example.com'], { a: 1 }, [[]]]
  await each(names, async email => {
    const { status, body, arrived } = await ask(plain, plain.token({ email }))
    const what = JSON.stringify(email)
    t.equal(status, 403, what)
    t.match(body, '"reason":"identity_missing"', what)
    t.notOk(arrived, `${what}: not forwarded`)
  })
})

/** T-13, T-40: a value of another shape is no groups; it is never made into text. */
t.test('groups are texts in a list, or there are none', async t => {
  const admins = 'admins'
  const rows: [claim: unknown, groups: string[]][] = [
    [[admins], ['admins']],
    ['["admins","dev"]', ['admins,dev']],
    ['[admins, dev]', ['admins,dev']],
    ['[a\\,admins, dev]', ['a%2Cadmins,dev']],
    [['dev,admins'], ['dev%2Cadmins']],
    [['dev%2Cadmins'], ['dev%252Cadmins']],
    [[' admins ', 'admins', 'admins\t'], ['admins']],
    [['', '  ', '\n'], []],
    [[7, null, true, { name: admins }, [admins], ['x', [admins]]], []],
    ['dev,admins', []],
    ['dev admins', []],
    ['admins', []],
    [{ 0: admins, length: 1 }, []],
    [{ admins: true }, []],
    [true, []],
    [1e308, []],
    [[[admins]], []],
    ['[[admins]]', ['[admins]']],
    ['[{"a":"admins"}]', []],
    ['["admins"', []],
    [null, []],
    ['', []],
    [['admins\r\nX-Forwarded-User: mallory'], ['admins%0D%0AX-Forwarded-User: mallory']],
    [
      ['ＡＤＭＩＮＳ', 'admins\u200b'],
      ['admins%E2%80%8B,%EF%BC%A1%EF%BC%A4%EF%BC%AD%EF%BC%A9%EF%BC%AE%EF%BC%B3'],
    ],
  ]
  await each(rows, async ([claim, wanted]) => {
    const token = plain.token({ groups: claim })
    said['x-amzn-oidc-data'].push(token)
    said['x-forwarded-groups'].push(...wanted)
    const { status, groups, user } = await ask(plain, token)
    const what = JSON.stringify(claim).replace(/[^\x20-\x7e]/g, '…')
    t.equal(status, 200, what)
    t.same(groups, wanted, `${what}: groups`)
    t.same(user, [ALICE.email], `${what}: user`)
  })
})

t.test('an address is in a domain when it has one @ and that domain behind it', async t => {
  const foreign = [
    ...['mallory@evil.example@example.com', 'mallory@example.com@evil.example'],
    ...['"mallory@evil.example"@example.com', 'mallory@evil.example,a@example.com', '@example.com'],
    ...['mallory', 'example.com', 'mallory%40example.com', 'mallory@', 'mallory@.example.com'],
    ...['mallory@example.com.evil.example', 'mallory@evilexample.com', 'mallory@sub.example.com'],
    ...['mallory@example.com.', 'mallory@еxample.com', 'mallory@exam\u00adple.com'],
    ...['mallory@example.com\u00a0', 'mallory@example.com\0', 'mallory＠example.com'],
    ...['mallory@ example.com', 'mallory@example.com>', 'mallory@example。com'],
  ]
  await each(foreign, async email => {
    const what = email.replace(/[^\x20-\x7e]/g, '…')
    const { status, body, arrived } = await ask(strict, strict.token({ email }))
    t.equal(status, 403, what)
    t.match(body, '"reason":"not_allowed"', what)
    t.notOk(arrived, `${what}: not forwarded`)
  })
  t.equal((await ask(strict, strict.token())).status, 200, 'who belongs is let in')
})

/** Cognito says it in text, and `"false"` is true to whoever asks carelessly. */
t.test('an address is verified when the claim says true', async t => {
  const rows = ['false', false, 'TRUE', 'yes', '1', 1, 0, null, '', [true], { true: true }, ' true']
  await each(rows, async email_verified => {
    const { status, body, arrived } = await ask(strict, strict.token({ email_verified }))
    const what = JSON.stringify(email_verified)
    t.equal(status, 403, what)
    t.match(body, '"reason":"email_unverified"', what)
    t.notOk(arrived, `${what}: not forwarded`)
  })
  for (const email_verified of [true, 'true']) {
    t.equal((await ask(strict, strict.token({ email_verified }))).status, 200, 'and then it is')
  }
})

/** T-14: whatever is read from a token, the next user's claims are made of nothing but theirs. */
t.test('claims reach into no prototype', async t => {
  const poison = '{"groups":["admins"],"email":"mallory@evil.example","length":["admins"]}'
  const payloads = [
    `{${PAYLOAD},"groups":null,"__proto__":${poison}}`,
    `{"__proto__":${poison},${PAYLOAD},"groups":null}`,
    `{${PAYLOAD},"groups":null,"constructor":{"prototype":${poison}}}`,
    `{${PAYLOAD},"groups":null,"prototype":${poison},"hasOwnProperty":1,"valueOf":"admins"}`,
    `{${PAYLOAD},"groups":{"__proto__":["admins"]}}`,
  ]
  for (const payload of payloads) {
    const token = textToken(plain, payload)
    const bare = plain.token({ groups: undefined })
    said['x-amzn-oidc-data'].push(token, bare)
    for (const [what, each] of Object.entries({ itself: token, 'the next': bare })) {
      const { status, user, groups } = await ask(plain, each)
      t.equal(status, 200, `${payload}: ${what}`)
      t.same([user, groups], [[ALICE.email], []], `${payload}: ${what}`)
    }
  }
})

t.test('a header named __proto__ is a header with a name that is not passed on', async t => {
  const token = plain.token({ groups: undefined })
  said['x-amzn-oidc-data'].push(token)
  const names = [
    '__proto__',
    '__PROTO__',
    'constructor',
    'hasOwnProperty',
    'toString',
    '__defineGetter__',
  ]
  const { status, user, rest } = await ask(
    plain,
    token,
    names.map(name => `${name}: mallory`),
  )
  t.equal(status, 200)
  t.same(user, [ALICE.email])
  t.same(
    rest.filter(header => header.endsWith('mallory')).map(header => header.split(':')[0]),
    ['constructor', 'hasOwnProperty', 'toString'],
  )
})

/** T-15: who reads the first of two and who reads the last must not read the same token. */
t.test('a claim that is said twice is not believed either time', async t => {
  const rows = [
    `{"email":"mallory@evil.example",${PAYLOAD}}`,
    `{${PAYLOAD},"email":"mallory@evil.example"}`,
    `{${PAYLOAD},"groups":["dev"],"groups":["admins"]}`,
    `{${PAYLOAD},"gro\\u0075ps":["admins"],"groups":["dev"]}`,
    `{${PAYLOAD},"x":{"a":1,"a":2}}`,
    `{${PAYLOAD},"__proto__":{},"__proto__":{"groups":["admins"]}}`,
  ]
  await each(rows, async payload => {
    const { status, arrived } = await ask(plain, textToken(plain, payload))
    t.match({ status, arrived }, { status: 401, arrived: false }, payload)
  })
})

/** T-16: what is parsed without trouble must not be written down with trouble. */
t.test('depth is nobody’s trouble', async t => {
  const depth = 5_000
  for (const name of ['deep', 'groups', 'email']) {
    const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`
    const token = textToken(
      plain,
      `{${name === 'email' ? PAYLOAD.replace('"email"', '"was"') : PAYLOAD},"${name}":${deep}}`,
    )
    said['x-amzn-oidc-data'].push(token)
    const { status } = await ask(plain, token)
    t.equal(status, name === 'email' ? 403 : 200, name)
  }
})

/** PyJWT 2.14 refuses the padding that ALBs write; others sign what they re-encode without it. */
t.test('a token is read and handed on as it is, padded or not', async t => {
  for (const padding of [true, false]) {
    for (const email of ['a@b', 'a@bc', 'a@bcd', 'a@bcde']) {
      const token = plain.signer.sign({ ...ALICE, email, groups: [] }, { padding })
      said['x-amzn-oidc-data'].push(token)
      said['x-forwarded-user'].push(email)
      said['x-forwarded-email'].push(email)
      const { status, data } = await ask(plain, token)
      t.equal(status, 200, `${email}, ${padding ? 'padded' : 'not padded'}`)
      t.same(data, [token], `${email}: byte for byte`)
    }
  }
})

t.test('after all of this', t => oracle.check(t, recorder, [strict]))
