/**
 * Tokens: each has one spelling, whatever is done to it.
 */
import fc from 'fast-check'
import { readCompact } from '../../src/tokens/shape.ts'
import { ALICE, createLastingSigner } from '../fixtures/sidecar.ts'
import { joined, oneOf, type Property } from './property.ts'

export const signer = createLastingSigner()
export const token = signer.sign(ALICE)
export const tokenText = fc.oneof(
  joined(oneOf('a', 'A', '-', '_', '=', '.', '+', '/', ' ', '\n', 'e30', 'e30.e30.AA', '\0'), 16),
  fc
    .tuple(
      fc.nat(token.length),
      fc.nat(4),
      joined(oneOf('=', '.', 'A', 'B', ' ', '\n', '+', 'é'), 3),
    )
    .map(([at, cut, put]) => token.slice(0, at) + put + token.slice(at + cut)),
  fc.tuple(fc.json(), fc.json()).map(([header, payload]) => {
    const encode = (text: string) => Buffer.from(text).toString('base64url')
    return `${encode(header)}.${encode(payload)}.AAAA`
  }),
)
const [PAYLOAD_HEAD = '', PAYLOAD_BODY = '', PAYLOAD_TAIL = ''] = token
  .replaceAll('=', '')
  .split('.')
export const shape: Property = {
  name: 'a token has one spelling, but for its padding',
  share: 150_000,
  property: fc.property(tokenText, text => {
    const read = readCompact(text)
    if (read === undefined) return true
    const segments = text.split('.')
    const plain = segments.map(each => each.replace(/=+$/, ''))
    const isCanonical = plain.every((each, at) => {
      const back = Buffer.from(each, 'base64url').toString('base64url')
      return (
        back === each &&
        [each, each + '='.repeat((4 - (each.length % 4)) % 4)].includes(segments[at] ?? '')
      )
    })
    const isOurs = read.signature.toString('base64url') === PAYLOAD_TAIL
    const isSame = plain[0] === PAYLOAD_HEAD && plain[1] === PAYLOAD_BODY
    return (
      isCanonical &&
      read.signed === `${segments[0] ?? ''}.${segments[1] ?? ''}` &&
      (!isOurs || isSame || read.signed !== token)
    )
  }),
}
