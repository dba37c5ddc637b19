/**
 * Open or guarded: what the routes say of one path, and what nearly opened it.
 */
import type { Config } from '../config/config.ts'
import type { Gate } from '../pipeline.ts'
import { rulesIn } from '../gate.ts'
import { pathOf, whyNotCanonical } from '../route/path.ts'
import { matches } from '../route/pattern.ts'
import type { Rule } from '../route/routes.ts'
import { createPaint } from './paint.ts'
import { Usage, type Terminal } from './terminal.ts'

/**
 * @param words `PATH`, or `METHOD PATH`; GET where there is none.
 * @param isJson Whether a program reads it.
 * @throws {Usage}
 */
export function explainPath(
  words: readonly string[],
  config: Config,
  steps: Pick<Gate, 'admit' | 'decideRoute'>,
  terminal: Terminal,
  isJson: boolean,
): void {
  const [target, method = 'GET', ...more] = words.toReversed()
  if (target === undefined || more.length > 0) {
    throw new Usage('explain path takes a path, or a method and a path')
  }
  const paint = createPaint(terminal.isScreen, terminal.environment)
  const lines = routeLines(method, target, config, steps)
  const [verdict = '', ...why] = lines
  const isOpen = verdict.startsWith('open')
  if (isJson) {
    const { version } = terminal
    const kind = isOpen ? 'open' : verdict === 'guarded' ? 'guarded' : 'refused'
    terminal.print(`${JSON.stringify({ version, method, target, kind, verdict, why }, null, 2)}\n`)
    return
  }
  terminal.print(`${isOpen ? paint.odd(verdict) : paint.good(verdict)}\n`)
  for (const line of why) terminal.print(`  ${line}\n`)
}

/** The verdict on a path, then what there is to say about it, a line each. */
export function routeLines(
  method: string,
  target: string,
  config: Config,
  { admit, decideRoute }: Pick<Gate, 'admit' | 'decideRoute'>,
): readonly string[] {
  const admitted = admit({ httpVersion: '1.1', method, target, headers: ['Host', 'localhost'] })
  if (admitted.outcome === 'rejected') {
    return [`refused before it is judged: ${admitted.reason} (${String(admitted.detail)})`]
  }
  const route = decideRoute(method, target)
  if (route.kind === 'open') return [`open, by the rule '${route.rule}'`]
  const rules = rulesIn(config)
  const path = pathOf(target)
  const flaw = whyNotCanonical(path)
  if (flaw !== undefined) return ['guarded', `no rule can open it: ${flaw}`]
  if (rules.length === 0) return ['guarded', 'there is no open rule (NOAUTH_PATHS, NOAUTH_PRESET)']
  return ['guarded', `none of the ${rules.length} open rules matches`, ...nearRules(rules, path)]
}

/** Rules that fail by little. */
function nearRules(rules: readonly Rule[], path: string): readonly string[] {
  const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`
  return rules.flatMap(({ text, pattern, methods }) => {
    if (matches(pattern, path)) {
      return [`'${text}' is for ${[...methods].join(' and ')} only`]
    }
    if (matches(pattern.toLowerCase(), path.toLowerCase())) {
      return [`'${text}' differs in capital and small letters, which count`]
    }
    return matches(pattern, other) ? [`'${text}' differs by the slash at the end`] : []
  })
}
