/**
 * Tokens that some verifier somewhere believed: signed by another load balancer, by nobody, with
 * another algorithm, for another client, expired where only the payload is looked at, naming a key
 * that is a path. For each: the answer, the reason that is counted, and how often the key server was
 * asked, which must be never where a forger decides what it is asked for (THREATS 1.A).
 */
import { createHmac, createSign, generateKeyPairSync, randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import t from 'tap'
import { createSigner, type Overrides, type Signer } from '../../simulator/signer.ts'
import { eventually } from '../fixtures/patience.ts'
import { openRaw, readAnswer, lines } from '../fixtures/raw.ts'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import {
  ALICE,
  ARN,
  CLIENT,
  createLastingSigner,
  ISSUER,
  startRig,
  type Rig,
} from '../fixtures/sidecar.ts'
import { tag } from './rows.ts'
import { startOracle } from './oracle.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const rig = await startRig(t, recorder.port, {
  NOAUTH_PATHS: '/open/*',
  // Wide, so that a slow machine is not mistaken for an expired token.
  CLOCK_TOLERANCE: '60s',
  KEY_NEGATIVE_TTL: '5m',
})
/** One that forgets soon what it was told of unknown keys, and one with little patience for keys. */
const short = await startRig(t, recorder.port, { KEY_NEGATIVE_TTL: '300ms' })
const faulty = await startRig(t, recorder.port, { KEY_FETCH_TIMEOUT: '500ms' })
const { signer } = rig
const believed: string[] = []
const oracle = await startOracle(rig, {
  assertable: {
    'x-forwarded-user': [ALICE.email],
    'x-forwarded-email': [ALICE.email],
    'x-forwarded-groups': ['dev,ops'],
    'x-amzn-oidc-data': believed,
    'x-amzn-oidc-identity': [ALICE.sub],
  },
})

/** A token that is to be believed. */
function good(token: string): string {
  believed.push(token)
  return token
}

interface Outcome {
  readonly status: number | undefined
  /** `rejections_total` that moved, as `reason/source`. */
  readonly counted: readonly string[]
  /** Requests to the key server. */
  readonly fetches: number
  /** Whether it arrived upstream. */
  readonly arrived: boolean
}

/** Asks for a guarded path with these headers. */
async function ask(
  headers: readonly string[],
  { on = rig, path = tag() }: { on?: Rig; path?: string } = {},
): Promise<Outcome> {
  const before = await rejections(on)
  const fetched = on.keys.requests.length
  const connection = openRaw(on.port)
  connection.write(lines(`GET ${path} HTTP/1.1`, 'Host: a', 'Connection: close', ...headers))
  await connection.closed()
  const after = await rejections(on)
  return {
    status: readAnswer(connection.text())?.status,
    counted: [...after].filter(([series, n]) => n > before.get(series)!).map(([series]) => series),
    fetches: on.keys.requests.length - fetched,
    arrived: recorder.framed().some(({ line }) => line.includes(`${path} `)),
  }
}

async function rejections(on: Rig): Promise<Map<string, number>> {
  const page = await on.metrics()
  const series = /^alb_auth_rejections_total\{reason="(\w+)",source="(\w+)"\} (\d+)$/gm
  return new Map([...page.matchAll(series)].map(([, a, b, n]) => [`${a}/${b}`, Number(n)] as const))
}

const data = (token: string): string => `X-Amzn-Oidc-Data: ${token}`
const refusal = (reason: string, fetches = 0): Outcome => ({
  status: 401,
  counted: [`${reason}/alb`],
  fetches,
  arrived: false,
})
const BELIEVED: Outcome = { status: 200, counted: [], fetches: 0, arrived: true }

interface Row {
  readonly what: string
  readonly token: string
  readonly reason: string
}

function sign(overrides: Overrides, by: Signer = signer): string {
  return by.sign(ALICE, overrides)
}
const b64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
/** For the name of a row. */
const show = (value: unknown): string => (value === undefined ? 'absent' : JSON.stringify(value))
const now = Math.floor(Date.now() / 1000)
const header = {
  ...{ typ: 'JWT', kid: signer.kid, alg: 'ES256', iss: ISSUER, client: CLIENT, signer: ARN },
  exp: now + 3_600,
}
const payload = { ...ALICE, exp: now + 3_600, iss: ISSUER }

async function refuses(t: Tap, rows: readonly Row[]): Promise<void> {
  for (const { what, token, reason } of rows) {
    t.same(await ask([data(token)]), refusal(reason), `${what}: ${reason}`)
  }
}
type Tap = Pick<typeof t, 'same'>

t.test('a token as our ALB signs it is believed, after one look at its key', async t => {
  const token = good(rig.token())
  t.same(await ask([data(token)]), { ...BELIEVED, fetches: 1 })
  t.same(await ask([data(token), `X-Amzn-Oidc-Identity: ${ALICE.sub}`]), BELIEVED)
  t.same(await ask([data(good(sign({ padding: false })))]), BELIEVED, 'also without padding')
  const upper = good(sign({ header: { kid: signer.kid.toUpperCase() } }))
  t.same(await ask([data(upper)]), BELIEVED, 'its kid is the same key in either case')
  t.same(rig.keys.requests, [`/eu-central-1/${signer.kid}`])
  t.same(await ask([]), { ...refusal(''), counted: ['token_missing/none'] }, 'none is missed')
})

/**
 * ALBeast: the attacker makes a load balancer of their own in our region, gives it our issuer and
 * client, and signs in to it. The signature is AWS's own and its key is served beside ours
 * (miggo.io/resources/uncovering-auth-vulnerability-in-aws-alb-albeast).
 */
t.test(
  'a token that another load balancer signed is refused before its key is asked for',
  async t => {
    const arns = [
      ['of another account', ARN.replace('123456789012', '210987654321')],
      ['of another region', ARN.replace('eu-central-1', 'us-east-1')],
      ['of another partition', ARN.replace('arn:aws:', 'arn:aws-cn:')],
      ['of another name', ARN.replace('consoleme', 'consoleme2')],
      ['of another id', ARN.replace(/.$/, '9')],
      ['with something behind it', `${ARN}0`],
      ['with a space behind it', `${ARN} `],
      ['with something before it', `x${ARN}`],
      ['cut short', ARN.slice(0, -1)],
      ['in upper case', ARN.toUpperCase()],
      ['empty', ''],
      ['a wildcard', '*'],
      ['two, ours first', `${ARN},${ARN}0`],
    ] as const
    const rows = arns.map(([what, arn]) => {
      const foreign = createSigner({ arn, client: CLIENT, issuer: ISSUER })
      rig.keys.publish(foreign)
      return { what, token: foreign.sign(ALICE), reason: 'signer_mismatch' }
    })
    const foreign = createSigner({ arn: `${ARN}0`, client: CLIENT, issuer: ISSUER })
    rig.keys.publish(foreign)
    const odd: [string, unknown][] = [
      ['an array of ours', [ARN]],
      ['an object', { 0: ARN }],
      ['a number', 1],
      ['null', null],
      ['true', true],
      ['absent', undefined],
    ]
    await refuses(t, [
      ...rows,
      ...odd.map(([what, value]) => ({
        what,
        token: sign({ header: { signer: value } }, foreign),
        reason: 'signer_mismatch',
      })),
      {
        what: 'named twice, ours last',
        token: foreign.signSegments(
          JSON.stringify({ ...header, kid: foreign.kid, signer: foreign.arn }).replace(
            /\}$/,
            `,"signer":"${ARN}"}`,
          ),
          JSON.stringify(payload),
        ),
        reason: 'token_malformed',
      },
      {
        what: 'ours only under __proto__',
        token: foreign.signSegments(
          `{"__proto__":{"signer":"${ARN}"},"kid":"${foreign.kid}","alg":"ES256"}`,
          JSON.stringify(payload),
        ),
        reason: 'signer_mismatch',
      },
    ])
  },
)

t.test('a token that claims to be ours is not, if it was signed with another key', async t => {
  const foreign = createLastingSigner()
  const ours = rig.token()
  const [head = '', body = '', tail = ''] = ours.split('.')
  const bytes = Buffer.from(tail, 'base64url')
  const resigned = (signature: Buffer) => `${head}.${body}.${signature.toString('base64url')}`
  const flipped = Buffer.from(bytes)
  flipped[5]! ^= 1
  const n = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  await refuses(t, [
    {
      what: 'under our kid',
      token: sign({ header: { kid: signer.kid } }, foreign),
      reason: 'signature_invalid',
    },
    { what: 'one bit of it', token: resigned(flipped), reason: 'signature_invalid' },
    { what: 'all zero', token: resigned(Buffer.alloc(64)), reason: 'signature_invalid' },
    // CVE-2022-21449, "psychic signatures".
    {
      what: 'r and s the order',
      token: resigned(Buffer.concat([n, n])),
      reason: 'signature_invalid',
    },
    { what: 'all ones', token: resigned(Buffer.alloc(64, 255)), reason: 'signature_invalid' },
    {
      what: 'of another payload',
      token: `${head}.${rig.token({ email: 'mallory@example.com' }).split('.')[1]}.${tail}`,
      reason: 'signature_invalid',
    },
    {
      what: 'over the unpadded text',
      token: ours.replace(/=+\./, '.'),
      reason: 'signature_invalid',
    },
    { what: 'of 63 bytes', token: resigned(bytes.subarray(1)), reason: 'token_malformed' },
    {
      what: 'of 65 bytes',
      token: resigned(Buffer.concat([bytes, Buffer.of(0)])),
      reason: 'token_malformed',
    },
    {
      what: 'in DER',
      token: resigned(Buffer.concat([Buffer.of(0x30, 0x44, 2, 32), bytes])),
      reason: 'token_malformed',
    },
    { what: 'none', token: `${head}.${body}.`, reason: 'token_malformed' },
  ])
})

/** RFC 8725 §3.1. ConsoleMe takes the algorithm from the token. */
t.test('no algorithm but ES256, whatever it would verify with', async t => {
  const signed = (alg: unknown, signature: Buffer | string = Buffer.alloc(64, 7)) => {
    const text = `${b64({ ...header, alg })}.${b64(payload)}`
    return `${text}.${Buffer.from(signature).toString('base64url')}`
  }
  const hmac = (key: string | Buffer) => {
    const text = `${b64({ ...header, alg: 'HS512' })}.${b64(payload)}`
    return `${text}.${createHmac('sha512', key).update(text).digest('base64url')}`
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rsText = `${b64({ ...header, alg: 'RS256' })}.${b64(payload)}`
  const rs256 = createSign('sha256').update(rsText).sign(rsa.privateKey).toString('base64url')
  const algorithms = ['none', 'None', 'nOnE', '', 'HS256', 'es256', 'ES256 ', 'ES384', 'ES256K']
  const others: unknown[] = [['ES256'], { toString: 'ES256' }, null, 1, undefined]
  await refuses(t, [
    ...[...algorithms, ...others].map(alg => ({
      what: show(alg),
      token: signed(alg),
      reason: 'algorithm_refused',
    })),
    { what: 'none, unsigned', token: signed('none', ''), reason: 'token_malformed' },
    // The public key as a shared secret: what `algorithms: [header.alg]` invites.
    { what: 'HS512 under our PEM', token: hmac(signer.publicKeyPem), reason: 'algorithm_refused' },
    {
      what: 'HS512 under our PEM, trimmed',
      token: hmac(signer.publicKeyPem.trim()),
      reason: 'algorithm_refused',
    },
    { what: 'RS256, well signed', token: `${rsText}.${rs256}`, reason: 'token_malformed' },
    ...[['exp'], ['b64'], ['foo'], []].map(crit => ({
      what: `ES256 with crit ${JSON.stringify(crit)}`,
      token: sign({ header: { crit, b64: false } }),
      reason: 'algorithm_refused',
    })),
  ])
})

/** RFC 8725 §3.10: whoever follows these lets the forger bring the key. */
t.test('keys that a token brings or points to are not looked at', async t => {
  let visits = 0
  const trap = createServer(socket => {
    visits++
    socket.destroy()
  })
  await new Promise<void>(resolve => trap.listen(0, '127.0.0.1', resolve))
  t.teardown(() => trap.close())
  const { port } = trap.address() as { port: number }
  const url = `http://127.0.0.1:${port}/key`
  const foreign = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  const brought = { jku: url, x5u: url, jwk: { kty: 'EC' }, x5c: ['AAAA'], x5t: 'x' }
  const selfMade = sign({ header: { ...brought, kid: signer.kid } }, foreign)
  t.same(await ask([data(selfMade)]), refusal('signature_invalid'))
  t.same(await ask([data(good(sign({ header: brought })))]), BELIEVED, 'nor do they do harm')
  t.equal(visits, 0)
})

/** ConsoleMe itself puts the kid into a URL unread (consoleme/lib/alb_auth.py). */
t.test('a kid is a UUID or it is nothing', async t => {
  const kids: unknown[] = [
    ...['../../evil', '..%2f..%2fevil', '..\\evil', `${signer.kid}/../${signer.kid}`, '/evil'],
    ...['//evil.example/x', '@evil.example/', 'https://evil.example/x', `${signer.kid}?x=y`],
    ...[`${signer.kid}#`, `${signer.kid}\n`, `${signer.kid}\0`, ` ${signer.kid}`, '%2e%2e%2f'],
    ...['', '.', '..', '__proto__', 'constructor', 'x'.repeat(4_000), `{${signer.kid}}`],
    ...[signer.kid.replaceAll('-', ''), `${signer.kid}0`, signer.kid.slice(1)],
    ...[1, null, true, [signer.kid], { kid: signer.kid }, undefined],
  ]
  await refuses(
    t,
    kids.map(kid => ({
      what: show(kid).slice(0, 60),
      token: sign({ header: { kid } }),
      reason: 'token_malformed',
    })),
  )
})

t.test('what another client or issuer was given is refused', async t => {
  const client = (value: unknown) => sign({ header: { client: value } })
  const issuer = (value: unknown) => sign({ header: { iss: value }, payload: { iss: value } })
  await refuses(t, [
    ...[
      'other',
      '',
      `${CLIENT} `,
      `${CLIENT},other`,
      CLIENT.toUpperCase(),
      [CLIENT],
      null,
      undefined,
    ].map(value => ({
      what: `client ${show(value)}`,
      token: client(value),
      reason: 'client_mismatch',
    })),
    ...[`${ISSUER}/`, `${ISSUER}x`, 'https://evil.example', '', [ISSUER], null, undefined].map(
      value => ({
        what: `issuer ${show(value)}`,
        token: issuer(value),
        reason: 'issuer_mismatch',
      }),
    ),
    {
      what: 'another issuer in the payload',
      token: sign({ payload: { iss: 'https://evil.example' } }),
      reason: 'issuer_mismatch',
    },
    {
      what: 'our issuer in the payload only',
      token: sign({ header: { iss: undefined } }),
      reason: 'issuer_mismatch',
    },
  ])
  t.same(await ask([data(good(sign({ payload: { iss: undefined } })))]), BELIEVED)
})

/**
 * D8: real ALB tokens carry `exp` in the JWS header, some only there. A library that reads the payload
 * believes them for ever (aws-jwt-verify 5.2.1 does).
 */
t.test('a token is as old as its header says, and as its payload says', async t => {
  const expiring = (header: unknown, payload: unknown) =>
    sign({ header: { exp: header }, payload: { exp: payload } })
  const raw = (exp: string) =>
    signer.signSegments(
      JSON.stringify({ ...header, exp: undefined }).replace(/\}$/, `,"exp":${exp}}`),
      JSON.stringify({ ...payload, exp: undefined }),
    )
  // Behind us by more than the tolerance.
  const [past, future] = [now - 1_000, now + 3_600]
  await refuses(t, [
    ...(
      [
        ['the header', past, future],
        ['the header, the payload being silent', past, undefined],
        ['the payload', future, past],
        ['both', past, past],
        ['the header, years ago', 1_533_600_000, undefined],
        ['the header, at the epoch', 0, future],
        ['the header, before the epoch', -1, future],
      ] as const
    ).map(([what, head, body]) => ({
      what: `expired by ${what}`,
      token: expiring(head, body),
      reason: 'token_expired',
    })),
    ...(
      [
        ['absent in the header', undefined, future],
        ['absent', undefined, undefined],
        ['a text', String(future), future],
        ['null', null, future],
        ['true', true, future],
        ['an array', [future], future],
        ['a text in the payload', future, String(future)],
        ['null in the payload', future, null],
      ] as const
    ).map(([what, head, body]) => ({
      what: `exp is ${what}`,
      token: expiring(head, body),
      reason: 'claims_invalid',
    })),
    { what: 'exp is 1e999', token: raw('1e999'), reason: 'claims_invalid' },
    { what: 'exp is -1e999', token: raw('-1e999'), reason: 'claims_invalid' },
  ])
  t.same(await ask([data(good(expiring(future, undefined)))]), BELIEVED, 'silent payload')
  t.same(await ask([data(good(expiring(future + 0.5, future + 0.5)))]), BELIEVED, 'a fraction')
  const present = Date.now() / 1_000
  t.same(await ask([data(good(expiring(present, present)))]), BELIEVED, 'within CLOCK_TOLERANCE')
})

/** T-07, T-15, T-16: one token, one spelling; anything else is endless spellings of a good one. */
t.test('what is no canonical compact token is not looked into', async t => {
  const token = rig.token()
  const [head = '', body = '', tail = ''] = token.split('.')
  const unpadded = tail.replace(/=+$/, '')
  const last = unpadded.charAt(unpadded.length - 1)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const neighbour = alphabet[alphabet.indexOf(last) ^ 1]!
  const malformed = [
    ['nothing', ''],
    ['one segment', 'x'],
    ['a word', 'undefined'],
    ['three letters', 'a.b.c'],
    ['two segments', `${head}.${body}`],
    ['four segments', `${token}.${tail}`],
    ['five segments', `${head}.a.b.c.d`],
    ['empty segments', '..'],
    ['a Bearer', `Bearer ${token}`],
    ['a space inside', `${head}. ${body}.${tail}`],
    ['a tab inside', `${head}.\t${body}.${tail}`],
    ['quotes', `"${token}"`],
    ['other trailing bits', `${head}.${body}.${unpadded.slice(0, -1)}${neighbour}==`],
    ['half a padding', `${head}.${body}.${unpadded}=`],
    ['too much padding', `${token}=`],
    ['padding inside', `=${token}`],
    ['the other alphabet', `${head}.${body}.${'+'.repeat(86)}==`],
    ['a byte above 0x7f', `${head}.${body}\xe9.${tail}`],
    ['percent-encoding', `${head}%2e${body}.${tail}`],
    ['a header that is no JSON', signer.signSegments('{', JSON.stringify(payload))],
    ['a header that is an array', signer.signSegments('[]', JSON.stringify(payload))],
    ['a header that is null', signer.signSegments('null', JSON.stringify(payload))],
    ['a payload that is a text', signer.signSegments(JSON.stringify(header), '"x"')],
    ['a payload that is no JSON', signer.signSegments(JSON.stringify(header), 'alice')],
    ['a byte order mark', signer.signSegments(`\ufeff${JSON.stringify(header)}`, '{}')],
    [
      'a claim named twice',
      signer.signSegments(JSON.stringify(header), '{"sub":"a","email":"a@b","sub":"b"}'),
    ],
  ] as const
  await refuses(t, [
    ...malformed.map(([what, token]) => ({ what, token, reason: 'token_malformed' })),
    { what: '16 KiB and one byte', token: 'x'.repeat(16_385), reason: 'token_too_large' },
    { what: '60 KB', token: `${head}.${'A'.repeat(60_000)}.${tail}`, reason: 'token_too_large' },
    { what: '16 KiB of nothing', token: 'x'.repeat(16_384), reason: 'token_malformed' },
    {
      what: 'a payload 1300 deep',
      token: signer.signSegments(
        JSON.stringify(header),
        `{"a":${'['.repeat(1_300)}${']'.repeat(1_300)}}`,
      ),
      reason: 'claims_invalid',
    },
  ])
})

/** `x-amzn-oidc-identity` is not signed: it is worth what the token says, or nothing (T-10). */
t.test('whom a token is about is said by the token', async t => {
  const subjects: unknown[] = [undefined, '', null, 1, true, ['x'], { sub: 'x' }]
  await refuses(
    t,
    subjects.map(sub => ({
      what: `sub ${show(sub)}`,
      token: sign({ payload: { sub } }),
      reason: 'claims_invalid',
    })),
  )
  for (const identity of ['mallory', '', ALICE.sub.toUpperCase(), `${ALICE.sub},mallory`]) {
    const headers = [data(rig.token()), `X-Amzn-Oidc-Identity: ${identity}`]
    t.same(await ask(headers), refusal('subject_mismatch'), `identity '${identity}'`)
  }
  t.same(await ask([`X-Amzn-Oidc-Identity: ${ALICE.sub}`]), {
    ...refusal(''),
    counted: ['token_missing/none'],
  })
  const nobody = await ask([data(rig.token({ email: undefined }))])
  t.match(nobody, { status: 403, counted: ['identity_missing/alb'], arrived: false })
})

t.test('claims cannot reach behind what they are', async t => {
  const text = JSON.stringify(payload).replace(
    /\}$/,
    ',"__proto__":{"groups":["admins"],"email":"mallory@example.com"},"constructor":{"groups":["admins"]}}',
  )
  const token = good(signer.signSegments(JSON.stringify(header), text))
  t.same(await ask([data(token)]), BELIEVED)
  t.same(await ask([data(good(rig.token()))]), BELIEVED, 'nor leave anything behind')
})

t.test('an open path takes nobody’s word, and counts it', async t => {
  const series = (reason: string) =>
    rig.metric(`alb_auth_invalid_tokens_total{reason="${reason}",source="alb"}`)
  const foreign = createSigner({ arn: `${ARN}0`, client: CLIENT, issuer: ISSUER })
  const rows = [
    { reason: 'signer_mismatch', token: foreign.sign(ALICE) },
    { reason: 'token_malformed', token: 'a.b.c' },
    { reason: 'token_expired', token: sign({ header: { exp: 1 } }) },
    {
      reason: 'signature_invalid',
      token: sign({ header: { kid: signer.kid, signer: ARN } }, foreign),
    },
  ]
  for (const { reason, token } of rows) {
    const before = await series(reason)
    const path = `/open${tag()}`
    t.match(await ask([data(token)], { path }), { status: 200, counted: [], fetches: 0 }, reason)
    t.equal(await series(reason), before + 1, `${reason} is counted`)
    const request = recorder.framed().find(({ line }) => line.includes(`${path} `))
    t.same(
      request?.headers.filter(header => /oidc|x-forwarded/i.test(header)),
      [],
      reason,
    )
  }
})

/** T-19: what the endpoint says it does not know may be known a moment later. */
t.test('an unknown key is asked for once, and forgiven', async t => {
  const never = createLastingSigner().sign(ALICE)
  t.same(await ask([data(never)]), refusal('key_unknown', 1))
  t.same(await ask([data(never)]), refusal('key_unknown', 0), 'remembered')

  const late = createLastingSigner()
  const token = good(late.sign(ALICE))
  t.same(await ask([data(token)], { on: short }), refusal('key_unknown', 1))
  short.keys.publish(late)
  let forgiven: Outcome | undefined
  await eventually(async () => {
    forgiven = await ask([data(token)], { on: short, path: `/late${tag()}` })
    return forgiven.status === 200
  })
  t.match(forgiven, { status: 200, fetches: 1, arrived: true }, 'asked for again')
})

/**
 * T-17: whoever answers in the key server's place gets nobody in and keeps nobody waiting. None of it
 * is the user's fault, so none of it is a 401.
 */
t.test('a key server that misbehaves', async t => {
  const pem = (type: 'rsa' | 'p384' | 'private') => {
    const { publicKey, privateKey } =
      type === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: type === 'p384' ? 'P-384' : 'P-256' })
    if (type === 'private') return privateKey.export({ type: 'pkcs8', format: 'pem' })
    return publicKey.export({ type: 'spki', format: 'pem' })
  }
  let redirected = 0
  const trap = createServer(socket => {
    redirected++
    socket.end()
  })
  await new Promise<void>(resolve => trap.listen(0, '127.0.0.1', resolve))
  t.teardown(() => trap.close())
  const { port } = trap.address() as { port: number }
  const say = (body: string | Buffer) => (response: ServerResponse) => {
    response.end(body)
  }
  const rows: { what: string; answer: (response: ServerResponse) => void }[] = [
    { what: 'never answers', answer: () => undefined },
    {
      what: 'answers a byte at a time',
      answer: response => {
        const drip = setInterval(() => response.write('-'), 50)
        response.on('close', () => {
          clearInterval(drip)
        })
      },
    },
    {
      what: 'redirects',
      answer: response => {
        response.writeHead(302, { Location: `http://127.0.0.1:${port}/` }).end()
      },
    },
    { what: 'sends a megabyte', answer: say(Buffer.alloc(1_048_576, '-')) },
    { what: 'sends an RSA key', answer: say(pem('rsa')) },
    { what: 'sends a P-384 key', answer: say(pem('p384')) },
    { what: 'sends a web page', answer: say('<!doctype html><title>Sign in</title>') },
    { what: 'fails', answer: response => response.writeHead(500).end() },
    { what: 'hangs up', answer: response => response.destroy() },
  ]
  const late = createLastingSigner()
  faulty.keys.publish(late)
  for (const { what, answer } of rows) {
    faulty.keys.answer = (_request, response) => {
      answer(response)
      return true
    }
    // A client is given up on after a minute, and an answer that KEY_FETCH_TIMEOUT ends comes before.
    t.match(
      await ask([data(late.sign(ALICE))], { on: faulty }),
      { status: 503, counted: ['key_unavailable/alb'], arrived: false },
      `${what}: in time`,
    )
  }
  t.equal(redirected, 0, 'a redirect is not followed')
  faulty.keys.answer = undefined
  // Half a second may still be too little for a busy machine.
  const token = good(late.sign(ALICE))
  const isWell = async () => (await ask([data(token)], { on: faulty })).status === 200
  t.ok(await eventually(isWell), 'and then it is well again')
})

/**
 * T-18: a fresh UUID in every request, our ARN as signer, no signature worth the name: one request to
 * AWS for each, and everybody else behind them. aws-jwt-verify asks every time.
 */
t.test('a flood of invented keys is not passed on, and nobody waits behind it', async t => {
  const fetched = rig.keys.requests.length
  const startedAt = Date.now()
  const invented = Array.from({ length: 300 }, async () => {
    const token = sign({ header: { kid: randomUUID() } })
    const connection = openRaw(rig.port)
    connection.write(lines('GET /flood HTTP/1.1', 'Host: a', 'Connection: close', data(token)))
    await connection.closed()
    return readAnswer(connection.text())?.status ?? 0
  })
  const token = good(rig.token())
  const known = Array.from({ length: 50 }, async () => {
    const connection = openRaw(rig.port)
    connection.write(lines('GET /known HTTP/1.1', 'Host: a', 'Connection: close', data(token)))
    await connection.closed()
    return readAnswer(connection.text())?.status ?? 0
  })
  t.same(new Set(await Promise.all(known)), new Set([200]), 'all who are known get in')
  const statuses = await Promise.all(invented)
  t.same(new Set(statuses), new Set([401, 503]), 'all others do not')
  const asked = rig.keys.requests.length - fetched
  // Ten at once, and then one a second for as long as this machine takes.
  const budget = 11 + (Date.now() - startedAt) / 1_000
  t.ok(asked <= budget, `the key server was asked ${asked} times, not 300`)
  t.ok(
    rig.keys.requests.every(path => /^\/eu-central-1\/[0-9a-f-]{36}$/.test(path)),
    'never for anything but a UUID',
  )
  t.equal(recorder.framed().filter(({ line }) => line.includes('/flood')).length, 0)
})

t.test('after all of this', async t => {
  const users = recorder.framed().flatMap(({ headers }) => valuesIn(headers, 'x-forwarded-user'))
  t.same(new Set(users), new Set([ALICE.email]))
  await oracle.check(t, recorder, [short, faulty])
})
