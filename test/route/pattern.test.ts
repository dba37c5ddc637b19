/**
 * Patterns mean what they mean in an ALB rule, to the character; anything looser would open paths
 * that the load balancer itself guards.
 */
import fc from 'fast-check'
import t from 'tap'
import { MAX_PATTERN_LENGTH, matches } from '../../src/route/pattern.ts'

t.test('a pattern is the whole path, case-sensitive, with * and ? and nothing else', t => {
  const cases = [
    { pattern: '/healthcheck', text: '/healthcheck', expected: true, why: 'literal' },
    { pattern: '/healthcheck', text: '/healthchec', expected: false, why: 'one short' },
    { pattern: '/healthcheck', text: '/healthcheckX', expected: false, why: 'one more (T-63)' },
    { pattern: '/healthcheck', text: '/x/healthcheck', expected: false, why: 'in the middle' },
    { pattern: '/healthcheck', text: '/HEALTHCHECK', expected: false, why: 'other case (T-64)' },
    {
      pattern: '/HealthCheck',
      text: '/healthcheck',
      expected: false,
      why: 'no folding either way',
    },
    { pattern: '', text: '', expected: true, why: 'nothing is nothing' },
    { pattern: '', text: '/', expected: false, why: 'an empty pattern opens nothing' },
    { pattern: '/', text: '', expected: false, why: 'text ends before the pattern' },

    { pattern: '*', text: '', expected: true, why: '* is any run, also none' },
    { pattern: '*', text: '/a/b/c', expected: true, why: '* alone is everything' },
    { pattern: '/a/*', text: '/a/', expected: true, why: '* may be nothing' },
    { pattern: '/a/*', text: '/a', expected: false, why: 'the slash before * is literal' },
    { pattern: '/a/*', text: '/a/b/c', expected: true, why: '* crosses a slash' },
    { pattern: '/a/*/c', text: '/a/b/b/c', expected: true, why: '* crosses slashes in the middle' },
    { pattern: '/a/*/c', text: '/a/c', expected: false, why: 'both slashes are literal' },
    { pattern: '/a/*/c', text: '/a/b/cc', expected: false, why: 'what follows * ends the path' },
    { pattern: '/get_roles*', text: '/get_rolesX', expected: true, why: 'T-63: * beside a word' },
    { pattern: '*.css', text: '/a/b.css', expected: true, why: '* leads' },
    {
      pattern: '*.css',
      text: '/a/b.css/c',
      expected: false,
      why: '* leads, but the end is the end',
    },
    { pattern: '**', text: '/a', expected: true, why: 'two stars are one' },
    { pattern: '/a**', text: '/a', expected: true, why: 'trailing stars may all be nothing' },
    { pattern: '/a*b*c', text: '/aXbXbXc', expected: true, why: 'the last * takes up the slack' },
    { pattern: '/a*b*c', text: '/aXcXb', expected: false, why: 'in the wrong order' },
    { pattern: '*ab', text: '/aab', expected: true, why: '* is retried after a false start' },
    { pattern: '*ab*ab', text: '/ab', expected: false, why: 'no character counts twice' },

    { pattern: '/a?', text: '/ab', expected: true, why: '? is one character' },
    { pattern: '/a?', text: '/a', expected: false, why: '? is not optional, as in a RegExp' },
    { pattern: '/a?', text: '/abc', expected: false, why: '? is not two' },
    { pattern: '/a?b', text: '/a/b', expected: true, why: '? may be a slash' },
    { pattern: '/a?b', text: '/a?b', expected: true, why: '? may be itself' },
    { pattern: '/a*b', text: '/a*b', expected: true, why: '* may be itself' },
    { pattern: '/*?', text: '/', expected: false, why: '*? is at least one' },
    { pattern: '/*?', text: '/ab', expected: true, why: '*? is one or more' },
    { pattern: '?*?', text: '/', expected: false, why: '?*? is at least two' },
    { pattern: '/a/b', text: '/a*b', expected: false, why: 'a * in the path is no wildcard' },
    { pattern: '/a/b', text: '*', expected: false, why: 'nor is a path that is only *' },
    { pattern: '/a', text: '/?', expected: false, why: 'nor is a ?' },
  ]
  for (const { pattern, text, expected, why } of cases) {
    t.equal(matches(pattern, text), expected, `${pattern} on ${text}: ${why}`)
  }
  t.end()
})

/** A pattern that reached a RegExp would match what its author never wrote (T-65). */
t.test('what a RegExp would treat as special is literal', t => {
  for (const special of [
    '.',
    '+',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '^',
    '$',
    '|',
    '\\',
    '[a-z]',
    '(x)',
    'a|b',
    '.+',
    '\\w',
    '$&',
  ]) {
    const pattern = `/a${special}c`
    t.equal(matches(pattern, pattern), true, `${pattern} is itself`)
    t.equal(matches(`${pattern}*`, `${pattern}/x`), true, `${pattern}* goes on after itself`)
    for (const other of ['/abc', '/ac', '/aac', '/axc', '/a', '/c', '/a.c/']) {
      if (other !== pattern) t.equal(matches(pattern, other), false, `${pattern} is not ${other}`)
    }
  }
  t.end()
})

t.test('agrees with a matcher that keeps every possibility', t => {
  const alphabet = fc.constantFrom('a', 'b', '/', '.')
  const pattern = fc.string({
    unit: fc.constantFrom('a', 'b', '/', '.', '*', '*', '?'),
    maxLength: 10,
  })
  const text = fc.string({ unit: alphabet, maxLength: 14 })
  let matched = 0
  fc.assert(
    fc.property(pattern, text, (pattern, text) => {
      const expected = slowMatches(pattern, text)
      if (expected) matched++
      return matches(pattern, text) === expected
    }),
    { numRuns: 5_000 },
  )
  t.ok(matched > 50, 'and both said yes often enough for that to mean something')
  t.end()
})

t.test('matches every text that is its pattern filled in', t => {
  const part = fc.oneof(
    fc.constantFrom('a', 'b', '/').map(literal => ({ pattern: literal, text: literal })),
    fc
      .string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 4 })
      .map(text => ({ pattern: '*', text })),
    fc.constantFrom('a', 'b', '/').map(text => ({ pattern: '?', text })),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), parts =>
      matches(parts.map(each => each.pattern).join(''), parts.map(each => each.text).join('')),
    ),
    { numRuns: 2_000 },
  )
  t.pass()
  t.end()
})

/**
 * A pattern with many stars must not make a long path expensive (T-65): a backtracking matcher needs
 * longer than the universe has for these, so reaching the assertion is the test.
 */
t.test('a hostile pattern on a 16 KB path ends', t => {
  const long = 'a'.repeat(16_384)
  const stars = '*a'.repeat(MAX_PATTERN_LENGTH / 2)
  t.equal(matches('*a*a*a*a*b', long), false, '*a*a*a*a*b never finds its b')
  t.equal(matches('*a*a*a*a*b', `${long}b`), true, '*a*a*a*a*b finds it at the very end')
  t.equal(matches(stars, long), true, 'the longest pattern there may be, matching')
  t.equal(matches(`${stars.slice(0, -1)}b`, long), false, 'and not matching')
  t.equal(matches('*?'.repeat(64), long), true, 'stars and question marks in turn')
  t.end()
})

t.test('the longest pattern is what an ALB rule takes', t => {
  t.equal(MAX_PATTERN_LENGTH, 128)
  t.end()
})

/** All places in `text` that a prefix of the pattern may end at, one pattern character at a time. */
function slowMatches(pattern: string, text: string): boolean {
  let places = new Set([0])
  for (const character of pattern) {
    const next = new Set<number>()
    for (const place of places) {
      if (character === '*') for (let at = place; at <= text.length; at++) next.add(at)
      else if (place < text.length && (character === '?' || character === text.charAt(place)))
        next.add(place + 1)
    }
    places = next
  }
  return places.has(text.length)
}
