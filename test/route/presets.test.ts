/**
 * The presets open exactly what ConsoleMe's ALB guide exempts, what it means to, and nothing beside.
 */
import t from 'tap'
import { matches } from '../../src/route/pattern.ts'
import { NOAUTH_PRESETS, rulesOf } from '../../src/route/presets.ts'
import { createRoutes } from '../../src/route/routes.ts'
import { parseRule } from '../../src/route/rules.ts'

/** Typed off the guide, SPEC §2. */
const GUIDE = [
  '/noauth/v1/challenge_poller/*',
  '/noauth/v1/challenge_generator/*',
  '/api/v1/get_roles*',
  '/api/v2/mtls/roles/*',
  '/api/v1/get_credentials*',
  '/api/v1/myheaders/?',
  '/api/v2/get_resource_url*',
]
const MEANT = ['/api/v1/myheaders', '/api/v1/myheaders/', '/healthcheck']
const WEEP = ['/api/v2/get_roles*', '/api/v1/policies/typeahead*', '/api/v2/audit/roles*']

t.test('a preset is exactly its list', t => {
  t.same(Object.keys(NOAUTH_PRESETS), ['consoleme', 'consoleme-weep'])
  t.same(NOAUTH_PRESETS.consoleme, [...GUIDE, ...MEANT])
  t.same(NOAUTH_PRESETS['consoleme-weep'], [...GUIDE, ...MEANT, ...WEEP])
  t.end()
})

t.test('its rules are what an operator would have written', t => {
  for (const preset of ['consoleme', 'consoleme-weep'] as const) {
    t.same(rulesOf(preset), NOAUTH_PRESETS[preset].map(parseRule), preset)
  }
  t.same(rulesOf(undefined), [], 'no preset, no rules')
  t.end()
})

t.test('what is open under each preset', t => {
  const consoleme = createRoutes(rulesOf('consoleme'))
  const weep = createRoutes(rulesOf('consoleme-weep'))
  const cases = [
    { target: '/noauth/v1/challenge_poller/abc', consoleme: 'open', weep: 'open' },
    { target: '/noauth/v1/challenge_generator/alice%40example', consoleme: 'open', weep: 'open' },
    { target: '/noauth/v1/challenge_poller', consoleme: 'guarded', weep: 'guarded' },
    { target: '/noauth/v1/challenge_validator/abc', consoleme: 'guarded', weep: 'guarded' },
    { target: '/api/v1/get_roles', consoleme: 'open', weep: 'open' },
    { target: '/api/v1/get_roles?all=true', consoleme: 'open', weep: 'open' },
    { target: '/api/v1/get_credentials', consoleme: 'open', weep: 'open' },
    { target: '/api/v2/mtls/roles/123456789012/admin', consoleme: 'open', weep: 'open' },
    { target: '/api/v2/mtls/roles', consoleme: 'guarded', weep: 'guarded' },
    { target: '/api/v2/get_resource_url', consoleme: 'open', weep: 'open' },
    { target: '/api/v1/myheaders', consoleme: 'open', weep: 'open' },
    { target: '/api/v1/myheaders/', consoleme: 'open', weep: 'open' },
    { target: '/api/v1/myheaders/x', consoleme: 'open', weep: 'open' },
    { target: '/api/v1/myheaders/xy', consoleme: 'guarded', weep: 'guarded' },
    { target: '/myheaders', consoleme: 'guarded', weep: 'guarded' },
    { target: '/healthcheck', consoleme: 'open', weep: 'open' },
    { target: '/healthcheck/', consoleme: 'guarded', weep: 'guarded' },
    { target: '/api/v2/get_roles', consoleme: 'guarded', weep: 'open' },
    { target: '/api/v1/policies/typeahead?resource=s3', consoleme: 'guarded', weep: 'open' },
    { target: '/api/v2/audit/roles/123456789012/a/access', consoleme: 'guarded', weep: 'open' },
    { target: '/api/v2/user_profile', consoleme: 'guarded', weep: 'guarded' },
    { target: '/api/v1/get_rolesX/../../v2/user_profile', consoleme: 'guarded', weep: 'guarded' },
    { target: '/', consoleme: 'guarded', weep: 'guarded' },
    { target: '/auth', consoleme: 'guarded', weep: 'guarded' },
    { target: '/policies', consoleme: 'guarded', weep: 'guarded' },
  ]
  for (const { target, ...expected } of cases) {
    const found = { consoleme: consoleme('GET', target).kind, weep: weep('GET', target).kind }
    t.same(found, expected, target)
  }
  t.end()
})

/** The guide's `/?` is an optional slash in a RegExp, and one more character to an ALB. */
t.test('the guide alone would not have opened what it meant to', t => {
  const opens = (path: string) => GUIDE.some(pattern => matches(pattern, path))
  t.equal(opens('/api/v1/myheaders'), false)
  t.equal(opens('/api/v1/myheaders/'), false)
  t.equal(opens('/api/v1/myheaders/x'), true)
  t.end()
})

t.test('without a preset nothing of it is open', t => {
  const decide = createRoutes(rulesOf(undefined))
  for (const target of ['/healthcheck', '/api/v1/get_roles', '/noauth/v1/challenge_poller/a']) {
    t.same(decide('GET', target), { kind: 'guarded' }, target)
  }
  t.end()
})
