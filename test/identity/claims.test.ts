/**
 * A claim is found by the name that was written down, or not at all: never by way of a prototype.
 */
import t from 'tap'
import type { Claims } from '../../src/core/identity.ts'
import { findClaim, findText } from '../../src/identity/claims.ts'

/** As a token's payload is read, so that `__proto__` is a property like any other. */
const parsed = (json: string) => JSON.parse(json) as Claims

t.test('a name is literal, and a JSON pointer when it begins with /', t => {
  const claims = parsed(`{
    "email": "alice@example.com", "cognito:groups": ["a"], "https://example.com/groups": ["b"],
    "a.b": 1, "a": { "b": 2, "c": { "d": 3 }, "": 4, "0": 5, "x/y": 6, "x~y": 7, "~1": 8, "list": [9, [10]] },
    "": 11, "a/b": 12, "/a/b": 13, "no": false, "zero": 0, "empty": "", "null": null,
    "realm_access": { "roles": ["r"] }, "resource_access": { "my.app": { "roles": ["s"] } }
  }`)
  const cases = [
    { name: 'email', value: 'alice@example.com' },
    { name: 'cognito:groups', value: ['a'] },
    { name: 'https://example.com/groups', value: ['b'] },
    { name: 'a.b', value: 1 },
    { name: 'a.c', value: undefined },
    { name: 'a/b', value: 12 },
    { name: 'Email', value: undefined },
    { name: '', value: 11 },
    { name: 'no', value: false },
    { name: 'zero', value: 0 },
    { name: 'empty', value: '' },
    { name: 'null', value: undefined },

    { name: '/email', value: 'alice@example.com' },
    { name: '/realm_access/roles', value: ['r'] },
    { name: '/resource_access/my.app/roles', value: ['s'] },
    { name: '/a/b', value: 2 },
    { name: '/a/c/d', value: 3 },
    { name: '/a/', value: 4 },
    { name: '/a/0', value: 5 },
    { name: '/a/x~1y', value: 6 },
    { name: '/a/x~0y', value: 7 },
    { name: '/a/~01', value: 8 },
    { name: '/a/x/y', value: undefined },
    { name: '/a~1b', value: 12 },
    { name: '/~1a~1b', value: 13 },
    { name: '/a~0b', value: undefined },
    { name: '/', value: 11 },
    { name: '/a/list/0', value: 9 },
    { name: '/a/list/1/0', value: 10 },
    { name: '/a/list/2', value: undefined },
    { name: '/a/list/-', value: undefined },
    { name: '/a/list/-1', value: undefined },
    { name: '/a/list/00', value: undefined },
    { name: '/email/0', value: undefined },
    { name: '/email/length', value: undefined },
    { name: '/null/a', value: undefined },
    { name: '/null', value: undefined },
    { name: '/no/a', value: undefined },
    { name: '/x/y/z', value: undefined },
    { name: '//email', value: undefined },
    { name: '/email/', value: undefined },
  ]
  for (const { name, value } of cases) t.strictSame(findClaim(claims, [name]), value, `'${name}'`)
  t.end()
})

t.test('a name with ~1 and ~0 in it is read as RFC 6901 says', t => {
  const claims = parsed('{ "a/b": 1, "a~b": 2, "a~1b": 3, "m~n": { "/": 4 } }')
  t.equal(findClaim(claims, ['/a~1b']), 1)
  t.equal(findClaim(claims, ['/a~0b']), 2)
  t.equal(findClaim(claims, ['/a~01b']), 3)
  t.equal(findClaim(claims, ['/m~0n/~1']), 4)
  t.equal(findClaim(claims, ['a~1b']), 3, 'without the first / nothing is an escape')
  t.end()
})

t.test('of several names the first that is present wins', t => {
  const claims = parsed('{ "null": null, "zero": 0, "a": "A", "b": { "c": "C" } }')
  const cases = [
    { names: ['a', '/b/c'], value: 'A' },
    { names: ['/b/c', 'a'], value: 'C' },
    { names: ['none', 'a'], value: 'A' },
    { names: ['null', 'a'], value: 'A' },
    { names: ['/null/x', '/none/x', '/b/c'], value: 'C' },
    { names: ['zero', 'a'], value: 0 },
    { names: ['none', 'null'], value: undefined },
    { names: [], value: undefined },
  ]
  for (const { names, value } of cases) t.equal(findClaim(claims, names), value, names.join(', '))
  t.end()
})

/** T-14: a name that walks prototypes would find a function, or what somebody else put there. */
t.test('nothing is found that the token does not hold itself', t => {
  const bare = parsed('{ "a": {}, "list": [], "text": "x", "n": 1 }')
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__defineGetter__',
  ]
  for (const name of names) {
    for (const path of [
      name,
      `/${name}`,
      `/a/${name}`,
      `/list/${name}`,
      `/text/${name}`,
      `/n/${name}`,
    ]) {
      t.equal(findClaim(bare, [path]), undefined, path)
    }
  }
  const deep = [
    '/__proto__/toString',
    '/constructor/prototype',
    '/constructor/name',
    '/a/constructor/name',
    '/list/map/name',
  ]
  for (const path of deep) t.equal(findClaim(bare, [path]), undefined, path)

  const own = parsed('{ "__proto__": { "groups": ["admin"] }, "constructor": { "name": "x" } }')
  t.equal(findClaim(own, ['groups']), undefined, 'a member of __proto__ is no claim of its own')
  t.equal(findText(own, ['groups']), undefined, 'as text neither')
  t.strictSame(findClaim(own, ['/__proto__/groups']), ['admin'], 'an own __proto__ is a claim')
  t.equal(findClaim(own, ['/constructor/name']), 'x', 'and an own constructor')
  t.end()
})

/** Claims are parsed JSON; if they ever were something else, reading them must not run code. */
t.test('a getter is not called', t => {
  const claims = Object.defineProperty({}, 'email', {
    get: () => t.fail('called'),
    enumerable: true,
  })
  t.equal(findClaim(claims, ['email']), undefined)
  t.equal(findClaim(claims, ['/email']), undefined)
  t.end()
})

t.test('a claim that must be text is text, trimmed, or absent', t => {
  const cases = [
    { json: '"alice"', text: 'alice' },
    { json: '"  alice \\t\\r\\n"', text: 'alice' },
    { json: '"alice smith"', text: 'alice smith' },
    { json: '"0"', text: '0' },
    { json: '""', text: undefined },
    { json: '"   "', text: undefined },
    { json: 'null', text: undefined },
    { json: '0', text: undefined },
    { json: '1', text: undefined },
    { json: 'true', text: undefined },
    { json: '["alice"]', text: undefined },
    { json: '{ "toString": "alice" }', text: undefined },
  ]
  for (const { json, text } of cases) {
    t.equal(findText(parsed(`{ "user": ${json} }`), ['user']), text, json)
  }
  t.equal(findText({}, ['user']), undefined, 'no claim')
  t.end()
})
