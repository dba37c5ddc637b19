/**
 * Makes any claim safe in a header, so that no two different claims ever look alike.
 *
 * Percent-encoding of the UTF-8 bytes, as RFC 3986 §2.1 does it, and therefore undone by every
 * language's URL decoder. `%` itself is encoded, which is what makes it injective.
 */

/**
 * Encodes control characters, everything outside ASCII, `%`, `separator`, and leading or trailing
 * spaces. An unpaired surrogate becomes U+FFFD first, as in any UTF-8 encoder.
 *
 * @param separator One ASCII character that joins values in the same header, or `''` for none.
 */
export function encodeValue(value: string, separator: string): string {
  const plain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)
  if (plain && !value.includes('%') && (separator === '' || !value.includes(separator)))
    return value
  const bytes = Buffer.from(value, 'utf8')
  const firstInner = bytes.findIndex(byte => byte !== SPACE)
  const lastInner = bytes.findLastIndex(byte => byte !== SPACE)
  let encoded = ''
  for (const [at, byte] of bytes.entries()) {
    const character = String.fromCharCode(byte)
    const printable = byte >= SPACE && byte <= 0x7e
    const atEdge = byte === SPACE && (at < firstInner || at > lastInner)
    const literal = printable && !atEdge && character !== '%' && character !== separator
    encoded += literal ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

const SPACE = 0x20
