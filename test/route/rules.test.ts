/**
 * What an operator writes into `NOAUTH_PATHS` is taken for what it says, or refused with a reason.
 */
import t from 'tap'
import { matches } from '../../src/route/pattern.ts'
import { createRoutes } from '../../src/route/routes.ts'
import { parseRule } from '../../src/route/rules.ts'

t.test('a rule is a pattern, or methods and a pattern', t => {
  const cases = [
    { text: '/a', methods: [], pattern: '/a' },
    { text: '/', methods: [], pattern: '/' },
    { text: '/a/*', methods: [], pattern: '/a/*' },
    { text: '*', methods: [], pattern: '*' },
    { text: '**', methods: [], pattern: '**' },
    { text: '*.css', methods: [], pattern: '*.css' },
    { text: '/api/v1/myheaders/?', methods: [], pattern: '/api/v1/myheaders/?' },
    { text: '/a%20b', methods: [], pattern: '/a%20b' },
    { text: '/a|b', methods: [], pattern: '/a|b' },
    { text: '/.well-known/*', methods: [], pattern: '/.well-known/*' },
    { text: 'GET /a', methods: ['GET'], pattern: '/a' },
    { text: 'GET|HEAD /a', methods: ['GET', 'HEAD'], pattern: '/a' },
    { text: 'GET|GET /a', methods: ['GET'], pattern: '/a' },
    { text: 'PROPFIND   *', methods: ['PROPFIND'], pattern: '*' },
    { text: `/${'a'.repeat(127)}`, methods: [], pattern: `/${'a'.repeat(127)}` },
    { text: `DELETE /${'?'.repeat(127)}`, methods: ['DELETE'], pattern: `/${'?'.repeat(127)}` },
  ]
  for (const { text, methods, pattern } of cases) {
    t.same(parseRule(text), { text, methods: new Set(methods), pattern }, text)
  }
  t.end()
})

t.test('anything else is refused, and the operator is told what a rule must be', t => {
  const form = /^be \[METHOD\[\|METHOD\] \]pattern/
  const length = /^have a pattern of at most 128 characters/
  const unmatched = /^have a pattern that a canonical path can match/
  const cases = [
    { text: '', refusal: form, why: 'nothing' },
    { text: ' ', refusal: form, why: 'a space' },
    { text: ' /a', refusal: form, why: 'a space before' },
    { text: '/a ', refusal: form, why: 'a space after' },
    { text: '/a b', refusal: form, why: 'a space within' },
    { text: '/a /b', refusal: form, why: 'two patterns' },
    { text: 'GET', refusal: form, why: 'a method alone' },
    { text: 'GET ', refusal: form, why: 'a method and nothing' },
    { text: 'get /a', refusal: form, why: 'a method in lower case, which no request has' },
    { text: 'GET, HEAD /a', refusal: form, why: 'methods with a comma' },
    { text: 'GET| HEAD /a', refusal: form, why: 'methods with a space' },
    { text: 'GET| /a', refusal: form, why: 'a method missing behind |' },
    { text: '|GET /a', refusal: form, why: 'a method missing before |' },
    { text: 'GET /a HEAD', refusal: form, why: 'a method behind the pattern' },
    { text: 'GET\t/a', refusal: form, why: 'a tab' },
    { text: 'a', refusal: form, why: 'a pattern that begins with neither / nor *' },
    { text: '?a', refusal: form, why: 'nor with ?, which would be the / in disguise' },
    { text: '^/a', refusal: form, why: 'a RegExp' },
    { text: 'https://app.example/a', refusal: form, why: 'a URL' },
    { text: '/é', refusal: form, why: 'a character beyond ASCII' },
    { text: '/a\0', refusal: form, why: 'a control character' },
    { text: '/a\n', refusal: form, why: 'a line break at the end' },
    { text: `/${'a'.repeat(128)}`, refusal: length, why: 'one character more than an ALB takes' },
    { text: `*${'*'.repeat(128)}`, refusal: length, why: 'even if they are stars' },
    { text: '//a', refusal: unmatched, why: 'an empty segment' },
    { text: '/a//*', refusal: unmatched, why: 'an empty segment within' },
    { text: '/a/../b', refusal: unmatched, why: 'a dot segment' },
    { text: '/a/.', refusal: unmatched, why: 'a dot at the end' },
    { text: '/a;b', refusal: unmatched, why: 'a path parameter' },
    { text: '/a\\*', refusal: unmatched, why: 'an escaped star, which there is not' },
    { text: '/a#b', refusal: unmatched, why: 'a fragment' },
    { text: '/a%2fb', refusal: unmatched, why: 'an encoded slash' },
    { text: '/a%', refusal: unmatched, why: 'a stray percent sign' },
    { text: '/a/%2e%2e/*', refusal: unmatched, why: 'encoded dots' },
    { text: '*//', refusal: unmatched, why: 'an empty segment behind a star' },
  ]
  for (const { text, refusal, why } of cases) {
    const found = parseRule(text)
    t.match(typeof found === 'string' ? found : 'taken', refusal, `${why}: ${JSON.stringify(text)}`)
  }
  t.end()
})

/** A rule that can match nothing open would look like an exemption and be none. */
t.test('a rule that is taken can open the path it stands for', t => {
  for (const text of ['/', '*', '/a/*', '/a/?', 'POST /a/*/b', '/a%20b', '/.a', '*.css', '/*']) {
    const rule = parseRule(text)
    if (typeof rule === 'string') throw new Error(`${text} must ${rule}`)
    const path = rule.pattern.replace(/^\*/, '/').replaceAll(/[*?]/g, 'x')
    t.ok(matches(rule.pattern, path), `${text} matches ${path}`)
    t.match(createRoutes([rule])('POST', path), { kind: 'open', rule: text }, `and opens it`)
  }
  t.end()
})
