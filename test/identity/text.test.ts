import t from 'tap'
import { lowerAscii, trimAscii } from '../../src/identity/text.ts'

t.test('only A to Z become lower case', async t => {
  const cases = [
    { text: 'Alice@Example.COM', lower: 'alice@example.com' },
    { text: '\u212aate', lower: '\u212aate', is: 'the Kelvin sign is not a k' },
    { text: 'ÄRGER', lower: 'Ärger', is: 'a letter outside ASCII stays' },
    { text: '', lower: '' },
  ]
  for (const { text, lower, is = text } of cases) t.equal(lowerAscii(text), lower, is)
})

t.test('only ASCII blanks are trimmed', async t => {
  const cases = [
    { text: ' \t admins\r\n', trimmed: 'admins' },
    { text: 'a b', trimmed: 'a b' },
    { text: '\u00a0admins', trimmed: '\u00a0admins', is: 'a no-break space is part of the name' },
    { text: 'admins\ufeff', trimmed: 'admins\ufeff', is: 'so is a byte order mark' },
    { text: ' \n ', trimmed: '' },
  ]
  for (const { text, trimmed, is = text } of cases) t.equal(trimAscii(text), trimmed, is)
  t.equal(trimAscii(`${' '.repeat(200_000)}x`).length, 1, 'in time that grows with the length')
})
