/**
 * From a decision of the gate to the fate of every check: those before the one that failed held, those
 * after it were not asked.
 */
import { CHECKS, CHECK_NAMES, type Check, type Subject } from '../core/checks.ts'

export type Fate = 'held' | 'failed' | 'not reached'

export interface Step {
  readonly check: Check
  readonly fate: Fate
}

/**
 * @param of What was looked at.
 * @param failed The check that failed, of whatever subject; `undefined` when none did.
 * @param isReached Whether this subject was looked at to its end, or until `failed`.
 */
export function walk(of: Subject, failed: Check | undefined, isReached: boolean): readonly Step[] {
  const checks = CHECK_NAMES.filter(name => CHECKS[name].of === of)
  const at = failed === undefined ? -1 : checks.indexOf(failed)
  return checks.map((check, nth) => {
    if (!isReached || (at >= 0 && nth > at)) return { check, fate: 'not reached' }
    return { check, fate: nth === at ? 'failed' : 'held' }
  })
}
