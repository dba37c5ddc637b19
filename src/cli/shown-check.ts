/**
 * One check as it is told: what became of it, what was expected and found, and what governs it.
 */
import { CHECKS, type Check } from '../core/checks.ts'
import type { Reason } from '../core/reasons.ts'
import type { Rejected } from '../core/verdict.ts'
import { adviceOn } from './advice.ts'
import { evidenceFor, type Evidence } from './evidence.ts'
import type { Fate, Step } from './walk.ts'

export interface ShownCheck {
  readonly check: Check
  /** What must be so. */
  readonly states: string
  /** `unasked`: it held because nothing is configured that could fail. */
  readonly fate: Fate | 'unasked'
  /** The variables that govern it; none where nothing can be set. */
  readonly variables: readonly string[]
  /** These two are absent where the check was not reached. */
  readonly expected?: string
  readonly found?: string
  /** The others are of the check that failed. */
  readonly reason?: Reason
  /** What the verifier said. */
  readonly detail?: string
  readonly advice?: string
}

/** @param refusal Of the step that failed. */
export function shownCheck(
  { check, fate }: Step,
  refusal: Rejected | undefined,
  evidence: Evidence,
): ShownCheck {
  const { states, variables } = CHECKS[check]
  if (fate === 'not reached') return { check, states, fate, variables }
  const { expected, found, isUnasked } = evidenceFor(check, evidence)
  const shown = { check, states, fate, variables, expected, found }
  if (fate === 'held' || refusal === undefined) {
    return isUnasked === true ? { ...shown, fate: 'unasked' } : shown
  }
  const { reason, detail } = refusal
  const advice = adviceOn(check, reason, evidence)
  return {
    ...{ ...shown, reason },
    ...(detail !== undefined && { detail }),
    ...(advice !== undefined && { advice }),
  }
}
