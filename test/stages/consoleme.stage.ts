/**
 * An application that takes identity as ConsoleMe does (FACTS §2), behind load balancer and sidecar, in
 * both of its modes; and the challenge by which the weep CLI signs in, walked as weep walks it.
 */
import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { ask } from '../../simulator/loopback.ts'
import { createSigner } from '../../simulator/signer.ts'
import type { Rule } from '../../simulator/rules.ts'
import { USERS } from '../../simulator/users.ts'
import { createVisitor, type Visitor } from '../../simulator/visitor.ts'
import { runUntil } from './program.ts'
import { send } from './send.ts'
import { startWorld } from './world.ts'

const PROFILE = '/api/v2/user_profile'
/** What ConsoleMe's guide excludes from authentication, and what weep needs besides. */
const RULES: readonly Rule[] = [
  ...['/noauth/v1/challenge_poller/*', '/noauth/v1/challenge_generator/*', '/api/v1/get_roles*'],
  ...['/api/v2/mtls/roles/*', '/api/v1/get_credentials*', '/api/v1/myheaders/?'],
  ...['/api/v2/get_resource_url*', '/api/v2/get_roles*'],
].map(pattern => ({ pattern, action: 'forward' }))
const CAROL = {
  password: 'password',
  groups: ['a,admins', 'Ärzte', 'on call'],
  claims: { sub: 'carol', email: 'carol@example.com' },
}
const SETTINGS = {
  NOAUTH_PRESET: 'consoleme-weep',
  STRIP_COOKIES: 'consoleme_auth',
  CLIENT_IP_HEADER: 'X-Client-Ip',
}

type Seen = Readonly<Record<string, unknown>>

/** Starts the application in one of its modes behind everything. */
async function start(t: Pick<Test, 'teardown'>, mode: 'header' | 'alb') {
  let upstream = ''
  const world = await startWorld(
    t,
    async ({ keyUrl, oidc }) => {
      const [, port = ''] = await runUntil(
        t,
        ['/usr/bin/python3', 'test/stages/consoleme_like.py'],
        {
          MODE: mode,
          KEY_URL: keyUrl.replace('/{region}/{kid}', '/eu-central-1'),
          JWKS_URL: `${oidc.issuer}/jwks`,
          AUDIENCE: 'urn:simulator:application',
        },
        /listening on (\d+)/,
      )
      upstream = `http://127.0.0.1:${port}`
      return { ...SETTINGS, UPSTREAM_URL: upstream }
    },
    { rules: RULES, users: { ...USERS, carol: CAROL } },
  )
  const { alb } = world
  return {
    ...world,
    upstream,
    /** What the application says of who asks; its status alone when it does not say. */
    profile: async (visitor: Visitor, headers: Headers = []): Promise<Seen> => {
      const answer = await send(alb.url + PROFILE, {
        headers: [['Cookie', visitor.cookieHeader(alb.url)], ...headers],
      })
      return answer.status === 200 ? parse(answer.body) : { status: answer.status }
    },
    signedIn: async (name: string) => {
      const visitor = createVisitor()
      await visitor.signIn(alb.url + PROFILE, { name, password: 'password' })
      return visitor
    },
  }
}

type Headers = readonly (readonly [string, string])[]

const parse = (body: string) => JSON.parse(body) as Seen

/** The application's own cookie, made with the secret that its helm chart ships. */
function forgedCookie(user: string): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ user, groups: ['admins'] })}`
  return `${signed}.${createHmac('sha256', 'secret').update(signed).digest('base64url')}`
}

const header = await start(t, 'header')
const alb = await start(t, 'alb')

t.test('header mode: split(",") and nothing more', async t => {
  const alice = await header.signedIn('alice')
  t.same(await header.profile(alice), {
    ...{ user: 'alice@example.com', groups: ['engineering', 'on-call'] },
    ...{ how: 'header', ip: '127.0.0.1' },
  })
  const forged = [
    ['X-Forwarded-User', 'mallory'],
    ['X-Forwarded-Groups', 'admins'],
    ['x-forwarded-groups', 'admins'],
    ['X_Forwarded_Groups', 'admins'],
    ['X-Client-Ip', '6.6.6.6'],
    ['X-Forwarded-For', '6.6.6.6'],
  ] as const
  t.same(await header.profile(alice, forged), await header.profile(alice), 'forgeries do not count')
  const carol = await header.profile(await header.signedIn('carol'))
  t.same(carol['groups'], ['a%2Cadmins', 'on call', '%C3%84rzte'], 'a comma makes no second group')
  const alone = await send(header.upstream + PROFILE, { headers: forged })
  t.match(parse(alone.body), { user: 'mallory' }, 'the application alone believes anything')
})

t.test('ALB mode: the application decodes the token itself', async t => {
  const alice = await alb.signedIn('alice')
  const seen = { user: 'alice@example.com', groups: ['engineering', 'on-call'], how: 'alb' }
  t.match(await alb.profile(alice), seen, 'so its padding is still there')

  const { arn, client, issuer } = alb.signer
  const foreign = createSigner({ arn: arn.replace('1111', '9999'), client, issuer })
  alb.keyServer.publish(foreign)
  const token = foreign.sign({ sub: 'x', email: 'mallory@example.com', groups: ['admins'] })
  const access = (await headersOf(alb, alice)).get('x-amzn-oidc-accesstoken') ?? ''
  const headers = [
    ['X-Amzn-Oidc-Data', token],
    ['X-Amzn-Oidc-Accesstoken', access],
  ] as const
  const alone = await send(alb.upstream + PROFILE, { headers })
  t.match(parse(alone.body), { user: 'mallory@example.com' }, 'alone it falls for ALBeast')
  const past = await send(alb.sidecar.url + PROFILE, { headers })
  t.equal(past.status, 401, 'past the load balancer: refused')
  t.match(await alb.profile(alice, headers), seen, 'through it: replaced')
})

/** What the application's own headers page shows a user. */
async function headersOf(
  { alb: { url } }: typeof alb,
  visitor: Visitor,
): Promise<Map<string, string>> {
  const { body } = await send(`${url}/api/v2/headers`, {
    headers: [['Cookie', visitor.cookieHeader(url)]],
  })
  const { seen } = JSON.parse(body) as { seen: [string, string][] }
  return new Map(seen.map(([name, value]) => [name.toLowerCase(), value]))
}

t.test("cookies: the application's own does not outrank the load balancer's identity", async t => {
  for (const place of [header, alb]) {
    const alice = await place.signedIn('alice')
    const cookie = `consoleme_auth=${forgedCookie('mallory')}`
    const alone = await send(place.upstream + PROFILE, { headers: [['Cookie', cookie]] })
    t.match(parse(alone.body), { user: 'mallory', how: 'cookie' }, 'alone it believes its cookie')
    t.match(await place.profile(alice, [['Cookie', cookie]]), { user: 'alice@example.com' })
    alice.setCookie(place.alb.url, 'consoleme_auth', forgedCookie('mallory'))
    alice.setCookie(place.alb.url, 'theme', 'dark')
    t.match(await place.profile(alice), { user: 'alice@example.com' }, 'in one line with others')
    const seen = await headersOf(place, alice)
    t.match(seen.get('cookie'), /^_xsrf=[^;]+; theme=dark$/, 'the other cookies stay')
  }
})

t.test('XSRF: cookie and header pass untouched', async t => {
  const alice = await header.signedIn('alice')
  const { url } = header.alb
  const xsrf = /_xsrf=([^;]+)/.exec(alice.cookieHeader(url))?.[1]
  t.ok(xsrf, 'the application has set its cookie')
  const post = (headers: Headers) =>
    send(`${url}/api/v2/policies`, {
      ...{ method: 'POST', body: '{"a":"ü"}' },
      headers: [
        ['Cookie', alice.cookieHeader(url)],
        ['Content-Type', 'application/json'],
        ...headers,
      ],
    })
  t.equal((await post([])).status, 403, 'Tornado refuses without X-Xsrftoken')
  const done = await post([['X-Xsrftoken', xsrf!]])
  t.match(parse(done.body), { changed_by: 'alice@example.com', body: '{"a":"ü"}' })
})

for (const place of [header, alb]) {
  t.test(`the challenge of the weep CLI, ${place === header ? 'header' : 'ALB'} mode`, async t => {
    const { url } = place.alb
    // As weep asks: its own agent, a Content-Type on a GET, and whatever an attacker would add.
    const weep: Headers = [
      ['User-Agent', 'weep/0.3.44'],
      ['Content-Type', 'application/json'],
    ]
    const forged: Headers = [
      ['X-Forwarded-User', 'mallory'],
      ['X-Amzn-Oidc-Data', 'x.y.z'],
      ['X-Forwarded-For', '6.6.6.6'],
      ['X-Client-Ip', '6.6.6.6'],
    ]
    const started = await send(`${url}/noauth/v1/challenge_generator/alice@example.com`, {
      headers: [...weep, ...forged],
    })
    t.equal(started.status, 200, 'the generator needs no session')
    const { challenge_url, polling_url, seen } = parse(started.body)
    const arrived = new Map((seen as [string, string][]).map(([name, value]) => [name, value]))
    t.notOk(arrived.has('X-Forwarded-User') || arrived.has('X-Amzn-Oidc-Data'), 'no identity there')
    t.equal(arrived.get('X-Client-Ip'), '127.0.0.1', 'and the address that the load balancer saw')

    const poll = async () => parse((await send(url + String(polling_url), { headers: weep })).body)
    t.same(await poll(), { status: 'pending' })

    const validate = `${url}/api/v2${String(challenge_url)}`
    const visit = async (name: string) => {
      const visitor = await place.signedIn(name)
      const cookies = () => ['Cookie', visitor.cookieHeader(url)] as const
      const shown = await send(validate, { headers: [cookies()] })
      if (shown.status !== 200) return shown.status
      const xsrf = /_xsrf=([^;]+)/.exec(visitor.cookieHeader(url))?.[1] ?? ''
      const { nonce } = parse(shown.body)
      const headers = [
        cookies(),
        ['X-Xsrftoken', xsrf],
        ['Content-Type', 'application/json'],
      ] as const
      const body = JSON.stringify({ nonce })
      return (await send(validate, { method: 'POST', headers, body })).status
    }
    t.equal((await send(validate)).status, 302, 'validating needs a session')
    t.equal((await send(place.sidecar.url + String(challenge_url))).status, 401, 'of the ALB')
    t.equal(await visit('bob'), 403, "bob cannot validate alice's")
    t.same(await poll(), { status: 'pending' })
    t.equal(await visit('alice'), 200, 'alice can')

    const { status, cookie_name, encoded_jwt } = await poll()
    t.equal(status, 'success')
    const cookie = ['Cookie', `${String(cookie_name)}=${String(encoded_jwt)}`] as const
    for (const [method, path] of [
      ['GET', '/api/v1/get_roles'],
      ['GET', '/api/v2/get_roles?all=true'],
      ['POST', '/api/v1/get_credentials'],
    ] as const) {
      const body = method === 'POST' ? { body: '{"requested_role":"x"}' } : {}
      const options = { method, ...body }
      const answer = await send(url + path, { ...options, headers: [...weep, cookie] })
      t.match(parse(answer.body), { user: 'alice@example.com' }, `${path}: by the cookie`)
      const stranger = await send(url + path, { ...options, headers: [...weep, ...forged] })
      t.equal(stranger.status, 401, `${path}: not by headers`)
    }
    const dots = await ask(url, `/api/v1/get_roles/../../v2/user_profile`, forged)
    t.equal(dots.status, 401, 'nor by dot segments, which the rule of the ALB lets through')
  })
}

t.test('the health check needs nothing', async t => {
  t.match(await send(`${header.sidecar.url}/healthcheck`), { status: 200, body: 'OK' })
})
