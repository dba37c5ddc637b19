/** A refusal says which token was at fault and why, in words that are safe to log. */
import fc from 'fast-check'
import t from 'tap'
import {
  ANONYMOUS,
  SOURCE_NAMES,
  VERDICTS,
  quote,
  rejected,
  type SourceName,
  type Verdict,
} from '../../src/core/verdict.ts'

t.test('a refusal holds what it was given and nothing empty beside', t => {
  const outcome = 'rejected'
  t.strictSame(rejected('token_missing'), { outcome, reason: 'token_missing' })
  t.strictSame(rejected('token_missing', {}), { outcome, reason: 'token_missing' })
  const about = { source: 'alb', detail: 'why' } as const
  t.strictSame(rejected('key_unknown', about), { outcome, reason: 'key_unknown', ...about })
  t.strictSame(rejected('not_allowed', { detail: 'why' }), {
    outcome,
    reason: 'not_allowed',
    detail: 'why',
  })
  t.end()
})

t.test('there are three verdicts and two sources, each listed once', t => {
  const outcomes: Record<Verdict['outcome'], true> = {
    authenticated: true,
    anonymous: true,
    rejected: true,
  }
  const sources: Record<SourceName, true> = { alb: true, access_token: true }
  t.strictSame(VERDICTS, Object.keys(outcomes))
  t.strictSame(SOURCE_NAMES, Object.keys(sources))
  t.strictSame(ANONYMOUS, { outcome: 'anonymous' })
  t.end()
})

/** T-91: what an attacker put into a token must not become a line of the log, or move its cursor. */
t.test('what is quoted is plain text on one line', t => {
  const cases = [
    { value: 'plain', quoted: "'plain'" },
    { value: '', quoted: "''" },
    { value: 'two words', quoted: "'two words'" },
    { value: 'a\r\nlevel=info', quoted: "'a??level=info'" },
    { value: '\u001b[2J\0\t\x7f', quoted: "'?[2J???'" },
    { value: 'é\u2028\u202e', quoted: "'???'" },
    { value: '😀', quoted: "'??'" },
    { value: '\ud800', quoted: "'?'" },
    { value: undefined, quoted: 'nothing' },
    { value: 7, quoted: 'a number' },
    { value: true, quoted: 'a boolean' },
    { value: ['secret'], quoted: 'a object' },
    { value: { toString: () => 'secret' }, quoted: 'a object' },
    { value: null, quoted: 'a object' },
  ]
  for (const { value, quoted } of cases) t.equal(quote(value), quoted, quoted)
  t.end()
})

const anyText = fc.string({
  unit: fc
    .integer({ min: 0, max: 0xffff })
    .map(code => String.fromCharCode(code % 3 ? code : code % 256)),
})

t.test('what is quoted is cut at its limit, and says so', t => {
  t.equal(quote('abc', 3), "'abc'")
  t.equal(quote('abcd', 3), "'abc…'")
  t.equal(quote('a'.repeat(128)), `'${'a'.repeat(128)}'`)
  t.equal(quote('a'.repeat(129)), `'${'a'.repeat(128)}…'`)
  t.equal(quote('\ud83d\ude00', 1), "'?…'", 'also within a pair of surrogates')
  fc.assert(
    fc.property(anyText, fc.nat(20), (value, max) => {
      const quoted = /^'([\x20-\x7e]*)…?'$/.exec(quote(value, max))?.[1]
      return quoted?.length === Math.min(value.length, max)
    }),
  )
  t.end()
})
