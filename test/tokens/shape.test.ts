import fc from 'fast-check'
import t from 'tap'
import { decodeSegment, readCompact } from '../../src/tokens/shape.ts'

const ALPHABET = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
/** What lenient decoders skip, translate or stop at. */
const FOREIGN = [
  '=',
  '+',
  '/',
  ' ',
  '\t',
  '\n',
  '\r',
  '\0',
  '.',
  ',',
  '%',
  '?',
  'é',
  'Ａ',
  '\u2028',
]

const encode = (content: string | Uint8Array): string => Buffer.from(content).toString('base64url')

const pad = (segment: string): string => segment.padEnd(Math.ceil(segment.length / 4) * 4, '=')

/** The other spellings of a segment whose last character has bits to spare: equal to lax decoders. */
function withTrailingBits(segment: string): string[] {
  const spare = { 2: 16, 3: 4 }[segment.length % 4] ?? 1
  const last = ALPHABET.indexOf(segment.slice(-1))
  return ALPHABET.slice(last + 1, last + spare).map(each => segment.slice(0, -1) + each)
}

/** A token whose header is this text and whose payload is `{}`. */
const withHeader = (header: string | Uint8Array): string => `${encode(header)}.e30.c2ln`
const withPayload = (payload: string | Uint8Array): string => `e30.${encode(payload)}.c2ln`

t.test('a token is read with correct padding, with none, and with some segments of each', t => {
  for (const header of ['{"a":1}', '{"a":12}', '{"a":123}']) {
    for (const signature of ['ab', 'abc', 'abcd', '']) {
      const bare = [encode(header), encode('{"sub":"x"}'), encode(signature)]
      for (const mask of [0, 1, 2, 3, 4, 5, 6, 7]) {
        const [head = '', body = '', tail = ''] = bare.map((each, i) =>
          mask & (1 << i) ? pad(each) : each,
        )
        t.same(
          readCompact(`${head}.${body}.${tail}`),
          {
            header: JSON.parse(header),
            payload: { sub: 'x' },
            signed: `${head}.${body}`,
            signature: Buffer.from(signature),
          },
          `${head}.${body}.${tail}`,
        )
      }
    }
  }
  t.end()
})

t.test('a segment is refused in every spelling but its own two', t => {
  const cases = [
    { segment: 'YQ=', is: 'half its padding' },
    { segment: 'YQ===', is: 'three signs of padding' },
    { segment: 'YWI==', is: 'two signs where one belongs' },
    { segment: 'YWJj=', is: 'padding where none belongs' },
    { segment: 'YWJj====', is: 'a whole group of padding' },
    { segment: '=', is: 'nothing but padding' },
    { segment: '====', is: 'nothing but a group of padding' },
    { segment: '=YQ', is: 'padding in front' },
    { segment: 'YQ==YQ==', is: 'padding in the middle' },
    { segment: 'Y', is: 'one character alone, which encodes nothing' },
    { segment: 'YWJjZ', is: 'one character too many' },
    { segment: '-_+-', is: 'a plus sign' },
    { segment: '-_/-', is: 'a slash' },
    { segment: '++//', is: 'plain base64' },
    { segment: ' YQ', is: 'a space in front' },
    { segment: 'Y Q', is: 'a space inside' },
    { segment: 'YQ ', is: 'a space behind' },
    { segment: 'YQ== ', is: 'a space behind the padding' },
    { segment: 'YQ\n', is: 'a line end behind' },
    { segment: 'YQ\r\n==', is: 'a line end before the padding' },
    { segment: 'YQ%3D%3D', is: 'padding encoded for a URL' },
    { segment: 'YQ\0', is: 'a NUL behind' },
    { segment: 'YR', is: 'a stray trailing bit' },
    { segment: 'Yf', is: 'all four stray trailing bits' },
    { segment: 'YR==', is: 'a stray trailing bit before correct padding' },
    { segment: 'YWJ', is: 'a stray trailing bit after two bytes' },
    { segment: 'YWL=', is: 'both stray trailing bits before correct padding' },
    { segment: 'Ａ Ａ', is: 'full-width letters' },
    { segment: 'YQ\u2028', is: 'a line separator behind' },
  ]
  for (const { segment, is } of cases) {
    t.equal(decodeSegment(segment), undefined, is)
    t.equal(readCompact(`${segment}.e30.c2ln`), undefined, `${is}, in the header`)
    t.equal(readCompact(`e30.${segment}.c2ln`), undefined, `${is}, in the payload`)
    t.equal(readCompact(`e30.e30.${segment}`), undefined, `${is}, in the signature`)
  }
  t.same(decodeSegment(''), Buffer.alloc(0), 'and nothing is the spelling of nothing')
  t.end()
})

t.test('each byte has exactly one unpadded and one padded spelling', t => {
  const characters = [...ALPHABET, ...FOREIGN]
  const spellings = { unpadded: new Set<number>(), padded: new Set<number>() }
  let accepted = 0
  for (const first of characters) {
    for (const second of characters) {
      for (const [kind, segment] of [
        ['unpadded', first + second],
        ['padded', `${first}${second}==`],
      ] as const) {
        const bytes = decodeSegment(segment)
        if (bytes === undefined) continue
        accepted++
        if (bytes.length !== 1) t.fail(`${segment} is ${bytes.length} bytes`)
        spellings[kind].add(bytes.readUInt8())
      }
    }
  }
  t.equal(spellings.unpadded.size, 256)
  t.equal(spellings.padded.size, 256)
  t.equal(accepted, 512, 'no byte has a third')
  t.end()
})

t.test('any bytes have exactly one unpadded and one padded spelling', t => {
  const bytesAndPlace = fc.tuple(fc.uint8Array({ maxLength: 64 }), fc.nat())
  fc.assert(
    fc.property(bytesAndPlace, ([bytes, place]) => {
      const bare = encode(bytes)
      const own = new Set([bare, pad(bare)])
      const others = [
        ...['=', '==', '===', '===='].map(signs => bare + signs),
        ...withTrailingBits(bare).flatMap(each => [each, pad(each)]),
        Buffer.from(bytes).toString('base64'),
        ...FOREIGN.flatMap(sign =>
          [...own].map(each => {
            const at = place % (each.length + 1)
            return each.slice(0, at) + sign + each.slice(at)
          }),
        ),
      ]
      for (const segment of own) {
        if (decodeSegment(segment)?.equals(bytes) !== true) throw new Error(`refused ${segment}`)
      }
      for (const segment of others) {
        if (own.has(segment)) continue
        if (decodeSegment(segment) !== undefined) throw new Error(`accepted ${segment}`)
      }
    }),
    { numRuns: 500 },
  )
  t.pass('in 500 samples')
  t.end()
})

t.test('whatever is accepted is what a re-encoding gives back', t => {
  const lookalike = fc.string({
    unit: fc.constantFrom(...ALPHABET, ...FOREIGN),
    maxLength: 9,
  })
  let accepted = 0
  fc.assert(
    fc.property(lookalike, segment => {
      const bytes = decodeSegment(segment)
      if (bytes === undefined) return true
      accepted++
      return segment === encode(bytes) || segment === pad(encode(bytes))
    }),
    { numRuns: 5_000 },
  )
  t.ok(accepted > 0, `${accepted} of 5,000 samples were accepted`)
  t.end()
})

t.test('one character more, anywhere in a padded token, and it is not a token', t => {
  const token = `${pad(encode('{"alg":"ES256"}'))}.${pad(encode('{"sub":"alice"}'))}.${pad(encode('signature'.repeat(7)))}`
  t.ok(readCompact(token))
  for (const sign of FOREIGN) {
    const accepted = Array.from({ length: token.length + 1 }, (_, at) => at).filter(
      at => readCompact(token.slice(0, at) + sign + token.slice(at)) !== undefined,
    )
    t.same(accepted, [], `U+${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)
  }
  t.end()
})

t.test('a token has three segments, not fewer and not more', t => {
  const cases = [
    { token: '', is: 'nothing' },
    { token: 'e30', is: 'one segment' },
    { token: 'e30.e30', is: 'two segments' },
    { token: 'e30.e30.c2ln.', is: 'a dot behind' },
    { token: '.e30.e30.c2ln', is: 'a dot in front' },
    { token: 'e30.e30.c2ln.c2ln', is: 'four segments' },
    { token: 'e30.e30.e30.e30.c2ln', is: 'five segments, as of an encrypted token' },
    { token: '....', is: 'five empty segments' },
    { token: '..', is: 'three empty segments' },
    { token: '.e30.c2ln', is: 'an empty header' },
    { token: 'e30..c2ln', is: 'an empty payload' },
    { token: 'Bearer e30.e30.c2ln', is: 'led by a scheme' },
    { token: 'e30.e30.c2ln, e30.e30.c2ln', is: 'two tokens, as joined headers are' },
    {
      token: '{"protected":"e30","payload":"e30","signature":"c2ln"}',
      is: 'the JSON serialisation',
    },
  ]
  for (const { token, is } of cases) t.equal(readCompact(token), undefined, is)
  t.match(
    readCompact('e30.e30.'),
    { signature: Buffer.alloc(0) },
    'an empty signature has no bytes',
  )
  t.match(readCompact('e30.e30.c2ln'), { header: {}, payload: {} }, 'and three are one')
  t.end()
})

t.test('header and payload are JSON objects in UTF-8, and nothing else', t => {
  const cases = [
    { content: '[]', is: 'an array' },
    { content: '[{"alg":"ES256"}]', is: 'an object in an array' },
    { content: 'null', is: 'null' },
    { content: 'true', is: 'a boolean' },
    { content: '7', is: 'a number' },
    { content: '"{}"', is: 'a string' },
    { content: ' ', is: 'white space' },
    { content: '{', is: 'half an object' },
    { content: '{}{}', is: 'two objects' },
    { content: '{}x', is: 'an object and a letter' },
    { content: '{}\0', is: 'an object and a NUL' },
    { content: '{"a":1,}', is: 'an object with a trailing comma' },
    { content: '{a:1}', is: 'a name without quotes' },
    { content: "{'a':1}", is: 'a name in the wrong quotes' },
    { content: '{"a":NaN}', is: 'not a number' },
    { content: '{"a":01}', is: 'a number with a leading zero' },
    { content: '{"a":1}//', is: 'a comment' },
    { content: '{"a":"\n"}', is: 'a line end in a string' },
    { content: '\u00a0{}', is: 'a space that is not one of JSON' },
    { content: '\ufeff{}', is: 'a byte order mark' },
    { content: Buffer.from('{}', 'utf16le'), is: 'UTF-16' },
    { content: Buffer.from('{"a":"\xff"}', 'latin1'), is: 'a byte that is not UTF-8' },
    { content: Buffer.from('{"a":"é"}', 'latin1'), is: 'latin-1' },
    { content: Buffer.from('{"a":"\xc0\xa2"}', 'latin1'), is: 'an overlong quote' },
    { content: Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1'), is: 'a surrogate in UTF-8' },
    { content: Buffer.from('{"a":"\xf4\x90\x80\x80"}', 'latin1'), is: 'a point beyond Unicode' },
    { content: Buffer.from('{"a":"\xe2\x82', 'latin1'), is: 'a character cut off' },
  ]
  for (const { content, is } of cases) {
    t.equal(readCompact(withHeader(content)), undefined, `${is} is no header`)
    t.equal(readCompact(withPayload(content)), undefined, `${is} is no payload`)
  }
  t.end()
})

t.test('an object is refused when a name in it is written twice, at any depth', t => {
  const cases = [
    { text: '{"a":1,"a":1}', is: 'twice the same' },
    { text: '{"signer":"theirs","signer":"ours"}', is: 'the last one ours' },
    { text: '{"signer":"ours","signer":"theirs"}', is: 'the first one ours' },
    { text: '{"a":1,"\\u0061":2}', is: 'once in another spelling' },
    { text: '{"":1,"":2}', is: 'the empty name' },
    { text: '{"a" :1,"a"\n\t\r :2}', is: 'with white space before the colon' },
    { text: '{"a":{"b":1},"a":2}', is: 'the first one an object' },
    { text: '{"a":1,"a":{"b":2}}', is: 'the last one an object' },
    { text: '{"a":{"b":1},"a":{"b":2}}', is: 'both objects' },
    { text: '{"a":{"b":1,"b":2}}', is: 'one level down' },
    { text: '{"a":[[{"b":{"c":1,"c":2}}]]}', is: 'below arrays' },
    { text: '{"__proto__":1,"__proto__":2}', is: '__proto__' },
    { text: '{"__proto__":{"a":1},"__proto__":{"a":1}}', is: '__proto__, an object' },
    { text: '{"\\"":1,"\\"":2}', is: 'a name that is a quote' },
    { text: '{"a\\\\":1,"a\\\\":2}', is: 'a name that ends with a backslash' },
    { text: '{"a":"\\\\","a":"\\""}', is: 'with backslashes and quotes for values' },
    { text: '{"1":1,"1":2}', is: 'a number' },
    { text: '{"a":null,"a":null}', is: 'both null' },
  ]
  for (const { text, is } of cases) {
    t.doesNotThrow(() => JSON.parse(text) as unknown, `${is}: is valid JSON`)
    t.equal(readCompact(withHeader(text)), undefined, `${is}, in the header`)
    t.equal(readCompact(withPayload(text)), undefined, `${is}, in the payload`)
  }
  t.end()
})

t.test('an object is accepted when its names only look repeated', t => {
  const cases = [
    { text: '{}', is: 'empty' },
    { text: ' \t\r\n{ "a" : 1 } \n', is: 'with white space' },
    { text: '{"a":"a"}', is: 'the name as value' },
    { text: '{"a":"\\"a\\":1,\\"a\\":2"}', is: 'an object in a string' },
    { text: '{"a":"b\\":","b":":\\":"}', is: 'quotes and colons in strings' },
    { text: '{"a":":","b":"::"}', is: 'colons for values' },
    { text: '{"a":"\\\\","b":"\\\\\\""}', is: 'backslashes before the closing quote' },
    { text: '{"\\"a\\":":1,"a":2}', is: 'quotes and a colon in a name' },
    { text: '{"a\\\\":1,"a":2}', is: 'a name that ends with a backslash' },
    { text: '{"a":1,"A":2}', is: 'in another case' },
    { text: '{"a":1," a":2}', is: 'with a space' },
    { text: '{"é":1,"e\u0301":2}', is: 'composed and decomposed' },
    { text: '{"a":{"a":{"a":1}}}', is: 'on different levels' },
    { text: '{"a":[{"a":1},{"a":2}]}', is: 'in different objects of a list' },
    { text: '{"a":["a","b",":"],"b":[[],[null,1]]}', is: 'strings in lists' },
    { text: '{"a":null,"b":false,"c":0,"d":"","e":-1.5e3}', is: 'of every kind' },
    { text: '{"__proto__":{"groups":["admin"]},"groups":[]}', is: '__proto__ beside others' },
    { text: '{"constructor":{"prototype":{"a":1}},"toString":1}', is: 'inherited names' },
    { text: '{"a":"\\ud800","b":"\\u2028\u2028"}', is: 'odd but valid strings' },
    { text: '{"length":3,"0":1,"1":2}', is: 'like a list' },
  ]
  for (const { text, is } of cases) {
    t.same(readCompact(withHeader(text))?.header, JSON.parse(text), `${is}, in the header`)
    t.same(readCompact(withPayload(text))?.payload, JSON.parse(text), `${is}, in the payload`)
  }
  t.end()
})

t.test('a member named __proto__ is a member and changes no prototype', t => {
  const read = readCompact(withPayload('{"__proto__":{"groups":["admin"]}}'))
  t.ok(read)
  t.ok(Object.hasOwn(read!.payload, '__proto__'))
  t.equal(Object.getPrototypeOf(read!.payload), Object.prototype)
  t.notOk('groups' in read!.payload, 'nothing is inherited from it')
  t.notOk('groups' in {}, 'and nothing else has it either')
  t.end()
})

t.test('any JSON object is read as JSON.parse reads it', t => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.boolean(), (value, isPadded) => {
      const text = JSON.stringify(value)
      const segment = isPadded ? pad(encode(text)) : encode(text)
      const read = readCompact(`${segment}.${segment}.`)
      return (
        JSON.stringify(read?.header) === JSON.stringify(JSON.parse(text)) &&
        read?.signed === `${segment}.${segment}`
      )
    }),
    { numRuns: 500 },
  )
  t.pass('in 500 samples')
  t.end()
})

t.test('any JSON object with one of its names repeated is refused', t => {
  const member = fc.tuple(fc.string(), fc.jsonValue(), fc.jsonValue())
  fc.assert(
    fc.property(member, fc.dictionary(fc.string(), fc.jsonValue()), ([name, one, two], rest) => {
      const others = JSON.stringify(rest).slice(1, -1)
      const members = [
        `${JSON.stringify(name)}:${JSON.stringify(one)}`,
        ...(others === '' ? [] : [others]),
        `${JSON.stringify(name)}:${JSON.stringify(two)}`,
      ]
      return readCompact(withPayload(`{${members.join(',')}}`)) === undefined
    }),
    { numRuns: 500 },
  )
  t.pass('in 500 samples')
  t.end()
})

t.test('nesting of any depth is read without using the stack up', t => {
  const depth = 16_384
  const cases = [
    { text: '{"a":'.repeat(depth) + '1' + '}'.repeat(depth), is: 'objects', isRead: true },
    { text: `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`, is: 'lists', isRead: true },
    {
      text: '{"a":['.repeat(depth) + ']}'.repeat(depth),
      is: 'lists and objects in turn',
      isRead: true,
    },
    {
      text: '{"a":'.repeat(depth) + '{"b":1,"b":2}' + '}'.repeat(depth),
      is: 'objects with a name repeated at the bottom',
      isRead: false,
    },
    { text: '{"a":'.repeat(depth), is: 'objects that nobody closes', isRead: false },
    { text: `{"a":[${'0,'.repeat(60_000)}0]}`, is: 'a long list', isRead: true },
  ]
  for (const { text, is, isRead } of cases) {
    t.equal(readCompact(withPayload(text)) !== undefined, isRead, is)
  }
  t.end()
})
