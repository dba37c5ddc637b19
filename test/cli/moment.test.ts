import t from 'tap'
import { readMoment, showMoment } from '../../src/cli/moment.ts'

t.test('a moment is seconds since 1970, or ISO 8601 with its zone', t => {
  const cases = [
    ['0', 0],
    ['1800000000', 1_800_000_000],
    ['1800000000.5', 1_800_000_000.5],
    ['2027-01-15T08:00:00Z', 1_800_000_000],
    ['2027-01-15T08:00Z', 1_800_000_000],
    ['2027-01-15T09:00:00.500+01:00', 1_800_000_000.5],
    ['2027-01-15', 1_799_971_200],
  ] as const
  for (const [text, seconds] of cases) t.equal(readMoment(text), seconds, text)
  const wrong = [
    '',
    'now',
    '-1',
    '1e9',
    '1800000000000',
    '2027-01-15T08:00:00',
    '2027-13-01',
    '15.1.2027',
  ]
  for (const text of wrong)
    t.throws(() => readMoment(text), { message: /^--at must be a time/ }, text)
  t.end()
})

t.test('a moment is shown in UTC', t => {
  t.equal(showMoment(1_800_000_000.9), '2027-01-15T08:00:00Z')
  t.equal(showMoment(1e300), '1e+300')
  t.end()
})
