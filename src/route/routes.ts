/**
 * Open or guarded: which requests may pass without a token.
 *
 * Everything that no rule opens is guarded; a path that is not canonical is never open.
 */
import type { Warning } from '../core/warning.ts'
import { isCanonical, pathOf } from './path.ts'
import { matches } from './pattern.ts'

/** One exemption from authentication. */
export interface Rule {
  /** As configured; for logs and warnings. */
  readonly text: string
  /** Upper case; empty means any method. */
  readonly methods: ReadonlySet<string>
  readonly pattern: string
}

export type Route =
  | { readonly kind: 'guarded' }
  /** `rule` is the first that matched, as configured: safe to log where the path is not. */
  | { readonly kind: 'open'; readonly rule: string }

export const ROUTE_KINDS: readonly Route['kind'][] = ['open', 'guarded']

const GUARDED: Route = { kind: 'guarded' }

/**
 * @param rules In the order in which they are tried.
 * @returns A function of the method and the request target as received; it never throws.
 */
export function createRoutes(rules: readonly Rule[]): (method: string, target: string) => Route {
  const opened = rules.map(rule => ({
    rule,
    beginning: beginningOf(rule),
    route: { kind: 'open', rule: rule.text } as const,
  }))
  return (method, target) => {
    if (opened.length === 0) return GUARDED
    const path = pathOf(target)
    if (!isCanonical(path)) return GUARDED
    for (const { rule, beginning, route } of opened) {
      if (!path.startsWith(beginning)) continue
      const { methods, pattern } = rule
      if ((methods.size === 0 || methods.has(method)) && matches(pattern, path)) return route
    }
    return GUARDED
  }
}

/** What every path that a rule matches begins with: most rules are told apart by that. */
function beginningOf({ pattern }: Rule): string {
  const end = pattern.search(/[*?]/)
  return end < 0 ? pattern : pattern.slice(0, end)
}

/**
 * What an operator should hear about a rule before it opens more than they meant.
 *
 * @returns `undefined` when the rule ends where it seems to.
 */
export function warningAbout({ text, pattern }: Rule): Warning | undefined {
  if (/^\/?\*[*?]*$/.test(pattern)) {
    return { severity: 'unsafe', text: `open rule '${text}' opens every path` }
  }
  const beside = /(?:^|[^/])\*/.test(pattern)
  if (!beside) return undefined
  const example = pattern.replaceAll('*', 'x')
  return {
    severity: 'risk',
    text: `open rule '${text}' has a * that does not follow a /, so it also opens ${example}`,
  }
}
