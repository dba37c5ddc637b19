/**
 * What an open rule opens and what it does not, by example. Every example was put to the routes
 * themselves; none is shown that they were not asked about.
 */
import { whyNotCanonical } from '../route/path.ts'
import { createRoutes, type Rule } from '../route/routes.ts'

export interface RuleExamples {
  readonly rule: string
  /** Requests that the rule opens. */
  readonly opens: readonly string[]
  /** Requests like them that it leaves guarded, and why where the path says so. */
  readonly leaves: readonly string[]
}

/** How many of each kind are shown. */
const EACH = 3

export function examplesFor(rule: Rule): RuleExamples {
  const decide = createRoutes([rule])
  const [method = 'GET'] = rule.methods
  const opens = (how: string, path: string) => decide(how, path).kind === 'open'
  const pattern = rule.pattern.replace(/^\*/, '/*')
  const fill = (star: string) => pattern.replaceAll('*', star).replaceAll('?', 'x')
  const taken = distinct([fill('x'), fill('a/b'), fill('')]).filter(path => opens(method, path))
  const [first = '/'] = taken
  const others = ['GET', 'POST'].filter(other => !opens(other, first))
  const beside = [
    ...(rule.pattern.includes('*') ? [fill('../x'), fill('%2e%2e/x')] : []),
    ...[`${first}/`, `${first}x`, first.slice(0, -1), `/x${first}`, first.toUpperCase()],
  ]
  const left = distinct(beside).filter(path => path.startsWith('/') && !opens(method, path))
  return {
    rule: rule.text,
    opens: taken.slice(0, EACH).map(path => `${method} ${path}`),
    leaves: [
      ...others.map(other => `${other} ${first}`),
      ...left.map(path => {
        const why = whyNotCanonical(path)
        return `${method} ${path}${why === undefined ? '' : ` (${why})`}`
      }),
    ].slice(0, EACH),
  }
}

function distinct(paths: readonly string[]): readonly string[] {
  return [...new Set(paths)]
}
