/**
 * Listener rules: the first whose path pattern matches decides, then the default action.
 *
 * @see COND in the README
 */

/** `authenticate`, `allow` and `deny` are OnUnauthenticatedRequest of an authenticate action. */
export const ACTIONS = ['forward', 'authenticate', 'allow', 'deny'] as const
export type Action = (typeof ACTIONS)[number]

export interface Rule {
  /** Path pattern in the ALB's language: `*` is any run of characters, `?` exactly one. */
  readonly pattern: string
  readonly action: Action
}

export interface RuleOptions {
  readonly rules: readonly Rule[]
  readonly defaultAction: Action
  /**
   * COND says that rules see the path after normalisation and the target gets it as it came. `false`
   * shows them the path as it came: whatever a rule could be talked into reaches the target.
   */
  readonly normalizesPaths: boolean
}

/** @returns A function from a request target to what is to be done with it. */
export function createRules(options: RuleOptions): (target: string) => Action {
  return target => {
    const [raw = ''] = target.split('?', 1)
    const path = options.normalizesPaths ? normalized(raw) : raw
    const rule = options.rules.find(({ pattern }) => matchesPattern(pattern, path))
    return rule?.action ?? options.defaultAction
  }
}

const normalized = (path: string): string =>
  URL.canParse(path, 'http://alb') ? new URL(path, 'http://alb').pathname : path

/** Matches the whole path, in time bounded by pattern times path: no backtracking past the last `*`. */
export function matchesPattern(pattern: string, path: string): boolean {
  let p = 0
  let s = 0
  let star = -1
  let retry = 0
  while (s < path.length) {
    if (pattern[p] === '*') {
      star = p++
      retry = s
    } else if (pattern[p] === '?' || pattern[p] === path[s]) {
      p++
      s++
    } else if (star >= 0) {
      p = star + 1
      s = ++retry
    } else return false
  }
  return /^\**$/.test(pattern.slice(p))
}
