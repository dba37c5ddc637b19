/**
 * What an operator should hear about a configuration that can be used all the same.
 */

/**
 * `unsafe`: requests pass that a check would have stopped; `risk`: they may, if something else is not as
 * it should be; `note`: nothing passes, but something will not work as expected.
 */
export type Severity = 'unsafe' | 'risk' | 'note'

export interface Warning {
  readonly severity: Severity
  /** A sentence that begins with what it is about. */
  readonly text: string
}
