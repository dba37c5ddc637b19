/**
 * The simulator's smaller parts, and that it stands alone.
 */
import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import { countersIn } from '../../simulator/counters.ts'
import { html } from '../../simulator/html.ts'
import { createIdpStore } from '../../simulator/idp-store.ts'
import { matchesPattern } from '../../simulator/rules.ts'
import { parseCookies } from '../../simulator/session-cookie.ts'
import { HELP, readSettings, SETTINGS } from '../../simulator/settings.ts'

t.test('patterns of paths', async t => {
  const rows: [string, string, boolean][] = [
    ['/a/*', '/a/b/c', true],
    ['/a/*', '/a', false],
    ['/a*', '/abc/d', true],
    ['/a/?', '/a/b', true],
    ['/a/?', '/a/', false],
    ['/a/?', '/a', false],
    ['*.js', '/x/y.js', true],
    ['/a', '/A', false],
    ['/a.c', '/abc', false],
    ['*a*b', `/${'a'.repeat(5000)}c`, false],
  ]
  for (const [pattern, path, expected] of rows) {
    t.equal(matchesPattern(pattern, path), expected, `${pattern} ${path.slice(0, 20)}`)
  }
})

t.test('cookies', async t => {
  const cookies = parseCookies(['a=1; b=2;c=3; a=4', 'd=x=y; ; =5; e'])
  t.same(
    [...cookies],
    [
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
      ['d', 'x=y'],
    ],
  )
})

t.test('flags and file', async t => {
  const file = JSON.stringify({
    ...{ port: 1, target: ['http://127.0.0.1:1'], shape: 'cognito', 'no-refresh': true },
    rules: [{ pattern: '/file/*', action: 'deny' }],
    users: { a: { password: 'b', groups: ['c'], claims: { sub: 'd' } } },
  })
  const args = ['--config', 'f', '--port', '2', '--allow', '/a', '--forward', '/b', '--forward=/c']
  const settings = readSettings(args, path => (t.equal(path, 'f'), file))
  t.equal(settings.number('port'), 2, 'a flag wins')
  t.equal(settings.text('shape'), 'cognito')
  t.same(settings.texts('target'), ['http://127.0.0.1:1'])
  t.ok(settings.isOn('no-refresh'))
  t.notOk(settings.isOn('normalize-paths'))
  t.same(settings.rules, [
    { pattern: '/file/*', action: 'deny' },
    { pattern: '/b', action: 'forward' },
    { pattern: '/c', action: 'forward' },
    { pattern: '/a', action: 'allow' },
  ])
  t.equal(settings.defaultAction, 'authenticate')
  t.match(settings.users, { a: { password: 'b' } })
  t.same(readSettings([], () => '').rules, [])
  for (const name of Object.keys(SETTINGS)) t.match(HELP, `--${name}`)
})

t.test('what is wrong is refused by name', async t => {
  const rows: [string[], string, RegExp][] = [
    [['--nope'], '{}', /--nope/],
    [['--port', 'x'], '{}', /port must be a number/],
    [['--default-action', 'x'], '{}', /default-action must be one of forward/],
    [['--config', 'f'], '[]', /f must hold one JSON object/],
    [['--config', 'f'], 'x', /f must hold one JSON object/],
    [['--config', 'f'], '{"prot":1}', /no setting prot/],
    [['--config', 'f'], '{"port":"1"}', /port must be a number/],
    [['--config', 'f'], '{"target":"x"}', /target must be a list/],
    [['--config', 'f'], '{"rules":[{"pattern":"/a","action":"x"}]}', /rules must be/],
    [['--config', 'f'], '{"users":{"a":{"password":"b"}}}', /users must be .* a is not/],
    [['--config', 'f'], '{"users":[]}', /users must be/],
  ]
  for (const [args, file, message] of rows) {
    t.throws(() => readSettings(args, () => file), { name: 'SettingsFault', message })
  }
})

t.test('what the provider remembers, it forgets in time', async t => {
  let now = 0
  const store = createIdpStore(() => now)
  const [codes, sessions, clients] = ['Code', 'Session', 'Client'].map(store.adapter)
  await codes!.upsert('a', { grantId: 'g' }, 60)
  await sessions!.upsert('b', { uid: 'u', grantId: 'g' }, 60)
  await sessions!.upsert('c', { uid: 'v', userCode: 'w' }, 60)
  store.registerClient('d', { client_id: 'd' })
  t.match(await codes!.find('a'), { grantId: 'g' })
  await codes!.consume('a')
  await codes!.consume('none')
  t.match(await codes!.find('a'), { consumed: 0 })
  t.match(await sessions!.findByUid('v'), { uid: 'v' })
  t.match(await sessions!.findByUserCode('w'), { uid: 'v' })
  t.equal(await codes!.findByUid('v'), undefined, 'of another kind')
  await sessions!.revokeByGrantId('g')
  t.equal(await codes!.find('a'), undefined)
  now = 60_001
  t.equal(await sessions!.find('c'), undefined, 'expired')
  await sessions!.upsert('e', {}, 60)
  await sessions!.destroy('e')
  await sessions!.upsert('f', {}, 60)
  store.forget()
  t.same([await sessions!.find('e'), await sessions!.find('f')], [undefined, undefined])
  t.match(await clients!.find('d'), { client_id: 'd' }, 'clients stay')
})

t.test('counters', async t => {
  const metrics = [
    'alb_auth_requests_total{verdict="authenticated",route="guarded"} 3',
    'alb_auth_requests_total{verdict="authenticated",route="open"} 2',
    'alb_auth_requests_total{verdict="rejected",route="open"} 0',
    'alb_auth_rejections_total{reason="token_missing",source="none"} 1',
    'other{verdict="x"} 1',
  ]
  t.same(countersIn(metrics.join('\n')), [
    { name: 'requests, authenticated', value: 5 },
    { name: 'refused, token_missing', value: 1 },
  ])
})

t.test('pages escape what they are given', async t => {
  const evil = `<script>"'&`
  t.equal(
    html`<b title="${evil}">${[html`${evil}`]}</b>`.markup,
    '<b title="&lt;script&gt;&quot;&#39;&amp;">&lt;script&gt;&quot;&#39;&amp;</b>',
  )
})

t.test(
  'it stands alone: nothing here imports the sidecar, and the sidecar nothing of it',
  async t => {
    const files = (folder: string) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter(name => name.endsWith('.ts'))
        .map(name => `${folder}/${name}`)
    const imports = (file: string) =>
      [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
        ([, of]) => of!,
      )
    const PACKAGES = new Set(['asn1js', 'jose', 'oidc-provider', 'pkijs', 'ws'])
    for (const file of files('simulator')) {
      const strays = imports(file).filter(
        of => !of.startsWith('node:') && !/^\.\/[\w-]+\.ts$/.test(of) && !PACKAGES.has(of),
      )
      t.same(strays, [], file)
      t.match(readFileSync(file, 'utf8'), /^\/\*\*\n/, `${file} says what it is for`)
    }
    for (const file of files('src')) {
      t.same(
        imports(file).filter(of => of.includes('simulator')),
        [],
        file,
      )
    }
  },
)
