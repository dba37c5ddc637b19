/**
 * Any claim becomes printable ASCII, and no two claims become the same.
 */
import fc from 'fast-check'
import t from 'tap'
import { encodeValue } from '../../src/headers/encode.ts'

t.test('what could be misread in a header is percent-encoded, and nothing else', t => {
  const cases = [
    { value: 'alice@example.com', encoded: 'alice@example.com', why: 'plain' },
    { value: 'a', encoded: 'a', why: 'one character' },
    { value: '', encoded: '', why: 'nothing' },
    {
      value: '!"#$&\'()*+-./:;<=>?@[\\]^_`{|}~',
      encoded: '!"#$&\'()*+-./:;<=>?@[\\]^_`{|}~',
      why: 'all punctuation but % and the separator',
    },
    { value: 'é!~', encoded: '%C3%A9!~', why: 'the first and the last of ASCII beside another' },
    { value: 'Domain Users', encoded: 'Domain Users', why: 'a space within' },
    { value: 'a  b', encoded: 'a  b', why: 'two spaces within' },
    { value: ' a', encoded: '%20a', why: 'a space before' },
    { value: 'a ', encoded: 'a%20', why: 'a space behind' },
    { value: '  a b  ', encoded: '%20%20a b%20%20', why: 'spaces around, not the one within' },
    { value: ' ', encoded: '%20', why: 'only a space' },
    { value: '   ', encoded: '%20%20%20', why: 'only spaces' },
    { value: 'a,b', encoded: 'a%2Cb', why: 'T-40: the separator' },
    { value: ',', encoded: '%2C', why: 'only the separator' },
    { value: '%', encoded: '%25', why: 'the escape itself' },
    { value: 'a%2Cb', encoded: 'a%252Cb', why: 'what looks encoded already' },
    { value: '\r\nX-Admin: 1', encoded: '%0D%0AX-Admin: 1', why: 'T-39: a header of its own' },
    { value: 'a\nb', encoded: 'a%0Ab', why: 'a line feed' },
    { value: 'a\r', encoded: 'a%0D', why: 'a carriage return at the end' },
    {
      value: 'a\n',
      encoded: 'a%0A',
      why: 'a line feed at the end, which $ overlooks in other languages',
    },
    { value: '\0', encoded: '%00', why: 'NUL' },
    { value: '\t', encoded: '%09', why: 'a tab, trimmed by header parsers' },
    { value: 'a\tb', encoded: 'a%09b', why: 'a tab within' },
    { value: '\x7f', encoded: '%7F', why: 'DEL' },
    { value: ' \0 ', encoded: '%20%00%20', why: 'spaces around a control' },
    { value: 'é', encoded: '%C3%A9', why: 'latin-1, as UTF-8' },
    { value: '\x85\xa0', encoded: '%C2%85%C2%A0', why: 'white space beyond ASCII' },
    { value: 'Łódź', encoded: '%C5%81%C3%B3d%C5%BA', why: 'beyond latin-1' },
    { value: '\u212a', encoded: '%E2%84%AA', why: 'the Kelvin sign is not a K' },
    { value: '😀', encoded: '%F0%9F%98%80', why: 'beyond the basic plane' },
    { value: '\ud800', encoded: '%EF%BF%BD', why: 'a lone high surrogate is U+FFFD' },
    { value: 'a\udc00b', encoded: 'a%EF%BF%BDb', why: 'a lone low surrogate is U+FFFD' },
    { value: 'é b', encoded: '%C3%A9 b', why: 'a space within, beside what is encoded' },
    { value: 'é ', encoded: '%C3%A9%20', why: 'a space behind, beside what is encoded' },
    { value: ' é', encoded: '%20%C3%A9', why: 'a space before, beside what is encoded' },
  ]
  for (const { value, encoded, why } of cases) {
    t.equal(encodeValue(value, ','), encoded, `${why}: ${JSON.stringify(value)}`)
  }
  t.end()
})

t.test('only the separator in use is encoded', t => {
  const cases = [
    { value: 'a,b;c|d e', separator: ';', encoded: 'a,b%3Bc|d e' },
    { value: 'a,b;c|d e', separator: '|', encoded: 'a,b;c%7Cd e' },
    { value: 'a,b;c|d e', separator: ' ', encoded: 'a,b;c|d%20e' },
    { value: 'a,b;c|d e', separator: '', encoded: 'a,b;c|d e' },
    { value: 'a,%', separator: '', encoded: 'a,%25' },
    { value: 'é,', separator: '', encoded: '%C3%A9,' },
    { value: 'a"b', separator: '"', encoded: 'a%22b' },
    { value: '~a', separator: '~', encoded: '%7Ea' },
  ]
  for (const { value, separator, encoded } of cases) {
    t.equal(encodeValue(value, separator), encoded, `${value} under ${JSON.stringify(separator)}`)
  }
  t.end()
})

t.test('of every character up to U+00FF the same ones stay', t => {
  for (let code = 0; code <= 0xff; code++) {
    const character = String.fromCharCode(code)
    const stays = code >= 0x20 && code <= 0x7e && character !== '%' && character !== ','
    t.equal(
      encodeValue(`a${character}b`, ',') === `a${character}b`,
      stays,
      JSON.stringify(character),
    )
  }
  t.end()
})

const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom(' ', '%', ',', ';', '%2C', '\r', '\n', '\0', 'a', 'K', '\u212a', '\xa0'),
    fc.integer({ min: 0, max: 0xffff }).map(code => String.fromCharCode(code)),
    fc.integer({ min: 0, max: 0x10ffff }).map(code => String.fromCodePoint(code)),
  ),
  maxLength: 12,
})
const anySeparator = fc.constantFrom(',', ';', '|', ' ', ':', '')

t.test('any claim comes out as printable ASCII without the separator or spaces around it', t => {
  fc.assert(
    fc.property(anyText, anySeparator, (value, separator) => {
      const encoded = encodeValue(value, separator)
      return (
        /^[\x20-\x7e]*$/.test(encoded) &&
        encoded.trim() === encoded &&
        (separator === '' || !encoded.includes(separator))
      )
    }),
    { numRuns: 3_000 },
  )
  t.pass()
  t.end()
})

t.test('any claim can be had back, so no two look alike', t => {
  fc.assert(
    fc.property(anyText, anySeparator, (value, separator) => {
      const wellFormed = value.replace(/\p{Surrogate}/gu, '\ufffd')
      return decodeURIComponent(encodeValue(value, separator)) === wellFormed
    }),
    { numRuns: 3_000 },
  )
  t.pass()
  t.end()
})
