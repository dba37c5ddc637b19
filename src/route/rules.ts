/**
 * Reads one rule as an operator writes it: `[METHOD[|METHOD…] ]pattern`.
 */
import { isCanonical } from './path.ts'
import { MAX_PATTERN_LENGTH } from './pattern.ts'
import type { Rule } from './routes.ts'

/** @returns The rule, or what is wrong with it as the end of "… must …". */
export function parseRule(text: string): Rule | string {
  const [, methods = '', pattern = ''] = /^(?:([A-Z]+(?:\|[A-Z]+)*) +)?(\S+)$/.exec(text) ?? []
  if (!/^[/*][\x21-\x7e]*$/.test(pattern)) {
    return 'be [METHOD[|METHOD] ]pattern, and the pattern visible ASCII that begins with / or *'
  }
  if (pattern.length > MAX_PATTERN_LENGTH) {
    return `have a pattern of at most ${MAX_PATTERN_LENGTH} characters, as in an ALB rule`
  }
  const example = pattern.replace(/^\*/, '/').replaceAll(/[*?]/g, 'x')
  if (!isCanonical(example)) {
    return 'have a pattern that a canonical path can match: no //, no . or .. segment, no ; \\ # or encoded separator'
  }
  return { text, methods: new Set(methods === '' ? [] : methods.split('|')), pattern }
}
