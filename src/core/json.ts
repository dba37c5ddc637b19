/**
 * JSON from outside, where text that is none is an ordinary thing to find.
 */
import { expected } from './expected.ts'

/** @returns What the text says, or `undefined`, which no text says, when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    expected(error, SyntaxError)
    return undefined
  }
}
