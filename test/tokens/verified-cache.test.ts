import fc from 'fast-check'
import t from 'tap'
import { readCompact } from '../../src/tokens/shape.ts'
import {
  createVerifiedCache,
  type Cacheable,
  type VerifiedCacheOptions,
} from '../../src/tokens/verified-cache.ts'
import { createClock } from '../fixtures/clock.ts'
import { recordEvents } from '../fixtures/events.ts'
import { ALICE } from '../fixtures/sidecar.ts'
import { createSignerAt } from '../fixtures/token-signers.ts'

interface Entry extends Cacheable {
  readonly name: string
}

function setUp(options: Partial<VerifiedCacheOptions> = {}) {
  const clock = createClock()
  const telemetry = recordEvents()
  const cache = createVerifiedCache<Entry>({
    source: 'alb',
    entries: 100,
    bytes: 1_000_000,
    toleranceSeconds: 5,
    clock,
    telemetry,
    ...options,
  })
  const entry = (name: string, lifetime = 120): Entry => ({
    name,
    expiresAt: clock.wallSeconds() + lifetime,
  })
  return { cache, clock, telemetry, entry }
}

t.test('a token is remembered as what it was verified to', t => {
  const { cache, telemetry, entry } = setUp()
  const alice = entry('alice')
  t.equal(cache.get('h.p.s'), undefined, 'not before')
  cache.set('h.p.s', alice)
  t.equal(cache.get('h.p.s'), alice)
  t.equal(cache.get('h.p.s'), alice)
  t.same(telemetry.take(), ['cache alb miss', 'cache alb hit', 'cache alb hit'])
  const bob = entry('bob')
  cache.set('h.p.s', bob)
  t.equal(cache.get('h.p.s'), bob, 'what was verified last')
  t.end()
})

t.test('the look-up is counted for its own source', t => {
  const { cache, telemetry } = setUp({ source: 'access_token' })
  cache.get('x')
  t.same(telemetry.take(), ['cache access_token miss'])
  t.end()
})

t.test('another token is another token, whatever they have in common', t => {
  const { cache, entry } = setUp()
  const alice = entry('alice')
  cache.set('head.alice.signature', alice)
  const others = [
    ...['head.mallory.signature', 'other.alice.signature', '.signature', 'signature'],
    ...['head.alice.signature2', 'head.alice.', 'head.alice', '', 'x.head.alice.signature'],
    ...['head.alice.signature=', 'head.alice.Signature', 'head.alice.signature ', '__proto__'],
    ...['head.alice.constructor', 'toString'],
  ]
  for (const other of others) t.equal(cache.get(other), undefined, `'${other}'`)
  t.equal(cache.get('head.alice.signature'), alice, 'and asking for them takes nothing away')
  t.end()
})

t.test('two tokens never meet in one entry', t => {
  const part = fc.constantFrom('', 'a', 'b', 'ab', '=', '__proto__')
  const token = fc.tuple(part, part, part).map(parts => parts.join('.'))
  fc.assert(
    fc.property(fc.array(fc.tuple(token, fc.boolean()), { maxLength: 40 }), steps => {
      const { cache, entry } = setUp()
      for (const [text, isSet] of steps) {
        if (isSet) cache.set(text, entry(text))
        const found = cache.get(text)
        if (found !== undefined && found.name !== text) return false
        if (isSet && found === undefined) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
  t.end()
})

/** T-09: the cache must not make a token live longer, whatever the clock does. */
t.test('a remembered token expires when it would have', t => {
  const { cache, clock, telemetry, entry } = setUp()
  cache.set('t', entry('alice', 120))
  clock.pass(119)
  t.ok(cache.get('t'), 'a second before')
  clock.pass(1)
  t.ok(cache.get('t'), 'at its end')
  clock.pass(5)
  t.ok(cache.get('t'), 'at the end of the tolerance')
  clock.pass(0.001)
  t.notOk(cache.get('t'), 'beyond it')
  t.same(telemetry.take().slice(-2), ['cache alb hit', 'cache alb miss'])
  clock.step(-30)
  t.notOk(cache.get('t'), 'and a clock that is set back does not bring it back')
  t.end()
})

t.test('the clock may jump', t => {
  const { cache, clock, entry } = setUp()
  cache.set('t', entry('alice', 120))
  clock.step(-3_600)
  t.ok(cache.get('t'), 'an hour back')
  clock.step(3_600)
  t.ok(cache.get('t'), 'and forth')
  clock.step(3_600)
  t.notOk(cache.get('t'), 'an hour ahead')
  t.end()
})

t.test('a key that is withdrawn takes its tokens along', t => {
  const { cache, entry } = setUp()
  const key = { isWithdrawn: false }
  const other = { isWithdrawn: false }
  cache.set('a.b.one', { ...entry('one'), key })
  cache.set('a.b.two', { ...entry('two'), key: other })
  cache.set('a.b.three', entry('three'))
  t.ok(cache.get('a.b.one'))
  key.isWithdrawn = true
  t.notOk(cache.get('a.b.one'), 'at once')
  t.ok(cache.get('a.b.two'), "another key's tokens stay")
  t.ok(cache.get('a.b.three'), 'and those of keys that nobody withdraws')
  key.isWithdrawn = false
  t.notOk(cache.get('a.b.one'), 'it is forgotten, not hidden')
  t.end()
})

t.test('0 entries are no cache', t => {
  const { cache, telemetry, entry } = setUp({ entries: 0 })
  cache.set('t', entry('alice'))
  t.equal(cache.get('t'), undefined)
  t.same(telemetry.take(), [], 'and no look-ups')
  t.end()
})

t.test('the least recently used token goes first', t => {
  const { cache, entry } = setUp({ entries: 3 })
  for (const name of ['a', 'b', 'c']) cache.set(name, entry(name))
  cache.get('a')
  cache.set('d', entry('d'))
  t.same(
    ['a', 'b', 'c', 'd'].filter(name => cache.get(name)),
    ['a', 'c', 'd'],
  )
  t.end()
})

t.test('tokens take only so many bytes, however many entries are allowed', t => {
  const { cache, entry } = setUp({ entries: 1_000_000, bytes: 1_000_000 })
  const token = (i: number) => `${'x'.repeat(10_000)}.${i}`
  for (let i = 0; i < 1_000; i++) cache.set(token(i), entry('x'))
  const kept = Array.from({ length: 1_000 }, (_, i) => i).filter(i => cache.get(token(i)))
  t.ok(kept.length > 20 && kept.length <= 33, `${kept.length} of 10 KB and their claims`)
  t.same(kept.at(-1), 999, 'the newest among them')
  cache.set('y'.repeat(400_000), entry('y'))
  t.equal(cache.get('y'.repeat(400_000)), undefined, 'one that alone is too large is not kept')
  t.end()
})

/** T-07: jose takes any number of spellings of one token; each would be an entry. */
t.test('ten thousand spellings of one token are at most two entries', t => {
  const { clock, entry } = setUp()
  const token = createSignerAt(clock).sign(ALICE)
  const { cache } = setUp({ entries: 20_000, bytes: 1e9 })
  const [head = '', body = '', tail = ''] = token.split('.')
  const insert = (text: string, at: number, what: string) =>
    text.slice(0, at) + what + text.slice(at)
  const odd = [' ', '\n', '\t', '=', '==', '.', '-', '_', '+', '/', '\0', '%20', '\u200b', 'A']
  const spellings = new Set<string>([token, `${head}.${body}.${tail.replaceAll('=', '')}`])
  for (let i = 0; spellings.size < 10_000; i++) {
    spellings.add(insert(token, i % token.length, odd[Math.floor(i / token.length) % odd.length]!))
    const parts = [head, body, tail]
    const at = i % 3
    parts[at] = `${parts[at]!.replaceAll('=', '')}${'='.repeat(i % 7)}${' '.repeat(i % 11)}`
    spellings.add(parts.join('.'))
    spellings.add(`${token}${'\n'.repeat(i % 900)}`)
  }
  const signed = token.slice(0, token.lastIndexOf('.'))
  let kept = 0
  for (const spelling of spellings) {
    const read = readCompact(spelling)
    // What the verifiers do: only bytes that were signed, under a signature of the right bytes.
    const isSame = read?.signed === signed && read.signature.equals(Buffer.from(tail, 'base64url'))
    if (isSame) cache.set(spelling, entry('alice'))
    if (cache.get(spelling)) kept++
  }
  t.equal(spellings.size >= 10_000, true)
  t.equal(kept, 2, 'padded and not')
  t.end()
})

t.test('an entry counts as three times its token and half a kilobyte', t => {
  const bytes = 3 * 'h.p.s'.length + 512
  for (const [room, isKept] of [
    [bytes, true],
    [bytes - 1, false],
  ] as const) {
    const { cache, entry } = setUp({ bytes: room })
    cache.set('h.p.s', entry('alice'))
    t.equal(cache.get('h.p.s') !== undefined, isKept, `with ${room} bytes`)
  }
  t.end()
})
