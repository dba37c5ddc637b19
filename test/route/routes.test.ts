/**
 * Open or guarded: a rule opens what it says and no more, and everything else is guarded.
 */
import t from 'tap'
import {
  ROUTE_KINDS,
  createRoutes,
  warningAbout,
  type Route,
  type Rule,
} from '../../src/route/routes.ts'

const rule = (pattern: string, ...methods: string[]): Rule => ({
  text: [methods.join('|'), pattern].join(' ').trim(),
  methods: new Set(methods),
  pattern,
})

const GUARDED: Route = { kind: 'guarded' }

t.test('a request is open under the first rule that matches it, and guarded without one', t => {
  const decide = createRoutes([
    rule('/healthcheck', 'GET', 'HEAD'),
    rule('/hook/*', 'POST'),
    rule('/noauth/v1/challenge_poller/*'),
    rule('/noauth/*'),
    rule('/hook/public'),
  ])
  const open = (text: string): Route => ({ kind: 'open', rule: text })
  const cases: readonly (readonly [method: string, target: string, Route])[] = [
    ['GET', '/healthcheck', open('GET|HEAD /healthcheck')],
    ['HEAD', '/healthcheck', open('GET|HEAD /healthcheck')],
    ['POST', '/healthcheck', GUARDED],
    ['OPTIONS', '/healthcheck', GUARDED],
    ['get', '/healthcheck', GUARDED],
    ['GET|HEAD', '/healthcheck', GUARDED],
    ['', '/healthcheck', GUARDED],
    ['GET', '/healthcheck?now', open('GET|HEAD /healthcheck')],
    ['GET', '/healthcheck/', GUARDED],
    ['GET', '/Healthcheck', GUARDED],
    ['POST', '/hook/a/b', open('POST /hook/*')],
    ['GET', '/hook/a/b', GUARDED],
    ['POST', '/hook/public', open('POST /hook/*')],
    ['GET', '/hook/public', open('/hook/public')],
    ['DELETE', '/noauth/v1/challenge_poller/x', open('/noauth/v1/challenge_poller/*')],
    ['GET', '/noauth/v1/other', open('/noauth/*')],
    ['GET', '/noauth', GUARDED],
    ['GET', '/', GUARDED],
    ['GET', '/policies', GUARDED],
    ['GET', '', GUARDED],
  ]
  for (const [method, target, expected] of cases) {
    t.same(decide(method, target), expected, `${method} ${target}`)
  }
  t.end()
})

t.test('an attack on the allow-list ends at a guarded route', t => {
  const decide = createRoutes([rule('/noauth/*'), rule('/healthcheck')])
  const attacks = [
    { attack: 'T-50 dot segments', target: '/noauth/../admin' },
    { attack: 'T-51 encoded dots', target: '/noauth/%2e%2e/admin' },
    { attack: 'T-51 encoded slash', target: '/noauth/..%2fadmin' },
    { attack: 'T-52 encoded twice', target: '/noauth/%252e%252e/admin' },
    { attack: 'T-53 Tomcat parameter', target: '/noauth/..;/admin' },
    { attack: 'T-54 empty segment', target: '/noauth//../admin' },
    { attack: 'T-55 backslash', target: '/noauth\\..\\admin' },
    { attack: 'T-55 backslash under the rule', target: '/noauth/..\\admin' },
    { attack: 'T-56 absolute form', target: 'http://evil/noauth/x' },
    { attack: 'T-58 fragment, CVE-2026-41059', target: '/noauth/x#/../admin' },
    { attack: 'T-59 NUL', target: '/noauth/%00' },
    { attack: 'T-60 stray percent', target: '/noauth/%' },
    { attack: 'T-61 full-width slash', target: '/noauth/..%ef%bc%8fadmin' },
    { attack: 'T-62 rule in the query, CVE-2025-54576', target: '/admin?/noauth/x' },
    { attack: 'T-62 rule in the query, encoded', target: '/admin%3f/noauth/x' },
    { attack: 'T-63 prefix', target: '/xnoauth/y' },
    { attack: 'T-63 suffix of an exact rule', target: '/healthcheck%20' },
    { attack: 'T-64 other case', target: '/NOAUTH/x' },
    { attack: 'T-66 what looks like a probe', target: '/healthcheck/../admin' },
  ]
  for (const { attack, target } of attacks) t.same(decide('GET', target), GUARDED, attack)
  t.end()
})

t.test('a query does not make an open path guarded, whatever it holds', t => {
  const decide = createRoutes([rule('/noauth/*')])
  for (const query of ['../..', '%', '//', ';', '#', 'a?b', '%2e%2e', '']) {
    t.match(decide('GET', `/noauth/x?${query}`), { kind: 'open' }, query)
  }
  t.end()
})

t.test('a path that is not canonical is guarded even under a rule for everything', t => {
  const decide = createRoutes([rule('*')])
  t.match(decide('GET', '/a'), { kind: 'open', rule: '*' })
  t.same(decide('GET', '/a/../b'), GUARDED)
  t.same(decide('GET', '*'), GUARDED)
  t.end()
})

t.test('without rules everything is guarded', t => {
  const decide = createRoutes([])
  for (const target of ['/', '/healthcheck', '*', '', '//']) {
    t.same(decide('GET', target), GUARDED, target)
  }
  t.end()
})

t.test('an operator hears of a rule that opens more than it seems to', t => {
  const everything = /opens every path$/
  const more = (example: string) => `has a * that does not follow a /, so it also opens ${example}`
  const cases: readonly { pattern: string; warning: RegExp | string }[] = [
    { pattern: '/*', warning: everything },
    { pattern: '*', warning: everything },
    { pattern: '/**', warning: everything },
    { pattern: '/api/v1/get_roles*', warning: more('/api/v1/get_rolesx') },
    { pattern: '/a*/b', warning: more('/ax/b') },
    { pattern: '/a/*.css*', warning: more('/a/x.cssx') },
    { pattern: '/a/**', warning: more('/a/xx') },
  ]
  for (const { pattern, warning } of cases) {
    const found = warningAbout(rule(pattern, 'GET'))
    const severity = warning === everything ? 'unsafe' : 'risk'
    t.match(found, { severity, text: warning }, pattern)
    t.ok(found?.text.startsWith(`open rule 'GET ${pattern}' `), 'and it is named as configured')
  }
  t.end()
})

t.test('an operator hears nothing of a rule that ends where it seems to', t => {
  for (const pattern of ['/', '/a', '/a/*', '/a/*/b', '/a/?', '/?', '/a/*.css', '/*/healthcheck']) {
    t.equal(warningAbout(rule(pattern)), undefined, pattern)
  }
  t.end()
})

t.test('there are two kinds of route', t => {
  const all: Record<Route['kind'], true> = { open: true, guarded: true }
  t.same(ROUTE_KINDS, Object.keys(all))
  t.end()
})
