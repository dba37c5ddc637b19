/**
 * The path-pattern language of ALB listener rules, so that an operator can copy a rule as it stands.
 *
 * Case-sensitive, the whole path, `*` any run of characters (also `/`), `?` exactly one, everything
 * else literal. Matched with two pointers and never with a RegExp, so that no pattern an operator
 * writes and no path an attacker sends costs more than their lengths multiplied.
 *
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html#path-conditions
 */

/** Longest pattern an ALB rule accepts, in characters. */
export const MAX_PATTERN_LENGTH = 128

/**
 * Whether `pattern` matches the whole of `text`.
 *
 * Only the last `*` is ever retried: an earlier one that matched the shortest run leaves every later
 * one the most to choose from. So the work is bounded by `pattern.length × text.length`, and by
 * `text.length` for a pattern with a single `*`.
 */
export function matches(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let resume = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++
      resume = t
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++
      t++
    } else if (star >= 0) {
      p = star + 1
      t = ++resume
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}
