/** The one rule by which two header names are the same, and how a list is read. */
import fc from 'fast-check'
import t from 'tap'
import {
  HOP_BY_HOP,
  OIDC_ACCESS_TOKEN,
  OIDC_DATA,
  OIDC_HEADERS,
  OIDC_IDENTITY,
  OIDC_PREFIX,
  connectionOptions,
  fold,
  pairs,
  textAt,
  valuesOf,
} from '../../src/core/headers.ts'

/** T-31, oauth2-proxy GHSA-vjrc-mh2v-45x6. */
t.test('a name folds to what the laxest application reads it as', t => {
  const cases = [
    { name: 'X-Amzn-Oidc-Data', folded: 'x-amzn-oidc-data' },
    { name: 'X_AMZN_OIDC_DATA', folded: 'x-amzn-oidc-data' },
    { name: 'x.amzn~oidc+data', folded: 'x-amzn-oidc-data' },
    { name: "x'amzn!oidc data", folded: 'x-amzn-oidc-data' },
    { name: 'user_header', folded: 'user-header' },
    { name: 'X--A', folded: 'x--a' },
    { name: '_a_', folded: '-a-' },
    { name: 'a1', folded: 'a1' },
    { name: '', folded: '' },
    { name: 'é\xa0', folded: '--' },
  ]
  for (const { name, folded } of cases) t.equal(fold(name), folded, name)
  t.end()
})

t.test('folding knows no case and no second time', t => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), name => {
      const folded = fold(name)
      const isFolded = /^[a-z0-9-]*$/.test(folded) && folded.length === name.length
      return isFolded && fold(folded) === folded && fold(name.toUpperCase()) === folded
    }),
  )
  t.pass()
  t.end()
})

t.test("the ALB's names are folded already, and all under its prefix", t => {
  t.same(OIDC_HEADERS, ['x-amzn-oidc-data', 'x-amzn-oidc-identity', 'x-amzn-oidc-accesstoken'])
  t.same([OIDC_DATA, OIDC_IDENTITY, OIDC_ACCESS_TOKEN], OIDC_HEADERS)
  for (const name of OIDC_HEADERS) {
    t.equal(fold(name), name, name)
    t.ok(name.startsWith(OIDC_PREFIX), `${name} begins with ${OIDC_PREFIX}`)
  }
  t.end()
})

t.test('hop-by-hop is what RFC 9110 §7.6.1 says, and what Go drops beside', t => {
  const names = [
    ...['connection', 'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization'],
    ...['proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ]
  t.same([...HOP_BY_HOP].sort(), names)
  for (const name of names) t.equal(fold(name), name, `${name} is found by a folded name`)
  t.end()
})

t.test('a list is names and values in turn', t => {
  const cases = [
    { list: [], found: [] },
    { list: ['A', '1'], found: [['A', '1']] },
    {
      list: ['A', '1', 'a', '2', 'A', ''],
      found: [
        ['A', '1'],
        ['a', '2'],
        ['A', ''],
      ],
    },
    { list: ['A', '1', 'B'], found: [['A', '1']] },
    { list: ['A'], found: [] },
  ]
  for (const { list, found } of cases) t.strictSame([...pairs(list)], found, list.join())
  t.strictSame([...pairs(new Array<string>(2))], [['', '']], 'a hole is no text')
  t.end()
})

t.test('values are found by the exact name in any case, all of them, in order', t => {
  const list = [
    'Accept',
    'a',
    'X-Other',
    'accept',
    'ACCEPT',
    'b',
    'x_accept',
    'c',
    'accept',
    '',
    'Accept-X',
    'd',
  ]
  t.same(valuesOf(list, 'accept'), ['a', 'b', ''])
  t.same(valuesOf(list, 'x-accept'), [], 'a twin is not the name')
  t.same(valuesOf(list, 'a'), [], 'a value is not a name')
  t.same(valuesOf([], 'accept'), [])
  t.end()
})

t.test('Connection names what it names, in whatever lines, case and spacing', t => {
  const cases = [
    { list: ['Connection', 'close'], options: ['close'] },
    { list: ['connection', 'Keep-Alive, X-Custom'], options: ['keep-alive', 'x-custom'] },
    { list: ['CONNECTION', ' \ta\t , ,,B,'], options: ['a', 'b'] },
    { list: ['Connection', 'a', 'Host', 'c', 'Connection', 'b, a'], options: ['a', 'b'] },
    { list: ['Connection', ''], options: [] },
    { list: ['Connection', 'a;b c'], options: ['a;b c'] },
    { list: ['Proxy-Connection', 'a', 'X-Connection', 'b', 'Connections', 'c'], options: [] },
    { list: [], options: [] },
  ]
  for (const { list, options } of cases) {
    t.strictSame(connectionOptions(list), new Set(options), JSON.stringify(list))
  }
  t.end()
})

t.test('a list has no more in it than it has', t => {
  const list = ['A', '1']
  t.same(
    [0, 1, 2, -1].map(index => textAt(list, index)),
    ['A', '1', '', ''],
  )
  t.end()
})
