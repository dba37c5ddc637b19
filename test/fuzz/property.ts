/**
 * What a property of the fuzzer is, and the two ways in which most of its inputs are put together.
 */
import fc from 'fast-check'

export interface Property {
  readonly name: string
  /** Of a million cases, how many are of this one. */
  readonly share: number
  readonly property: fc.IRawProperty<unknown>
}

export const oneOf = <Of>(...values: readonly Of[]) => fc.constantFrom(...values)
export const joined = (piece: fc.Arbitrary<string>, maxLength = 12) =>
  fc.array(piece, { maxLength }).map(pieces => pieces.join(''))
