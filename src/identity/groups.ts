/**
 * Reads a groups claim in the shapes that identity providers and user pools give it.
 */
import type { Claims } from '../core/identity.ts'
import { parseJson } from '../core/json.ts'
import { trimAscii } from './text.ts'

/**
 * @param value The claim as parsed.
 * @param separator `GROUPS_SPLIT`: how a plain string is to be cut; `''` leaves it uncut and therefore
 *   no groups, since a name may hold a comma.
 * @returns The names, trimmed, empty ones left out; nothing for a value of any other shape. A member
 *   that is not a string is left out, never converted.
 */
export function readGroups(value: unknown, separator: string): readonly string[] {
  if (Array.isArray(value)) return names(value)
  if (typeof value !== 'string') return []
  const text = trimAscii(value)
  if (text.startsWith('[') && text.endsWith(']')) return names(fromBrackets(text))
  return separator === '' ? [] : names(text.split(separator))
}

/**
 * A JSON array in a string, or Cognito's way of mapping a list into an attribute: `[a, b]`, where a
 * comma that belongs to a name is written `\\,`.
 */
function fromBrackets(text: string): readonly unknown[] {
  const parsed = parseJson(text)
  if (Array.isArray(parsed)) return parsed
  return text
    .slice(1, -1)
    .split(/(?<!\\),/)
    .map(name => name.replaceAll('\\,', ','))
}

function names(members: readonly unknown[]): readonly string[] {
  return members
    .filter(member => typeof member === 'string')
    .map(trimAscii)
    .filter(name => name !== '')
}

/**
 * Whether the provider left the groups out because there are too many (Entra ID, over 200): they are
 * unknown then, which must not be taken for "none".
 *
 * @param names The claim names that groups are looked for under.
 * @see https://learn.microsoft.com/en-us/security/zero-trust/develop/configure-tokens-group-claims-app-roles
 */
export function isGroupsOverage(claims: Claims, names: readonly string[]): boolean {
  if (claims['hasgroups'] === true || claims['hasgroups'] === 'true') return true
  const elsewhere = claims['_claim_names']
  if (typeof elsewhere !== 'object' || elsewhere === null) return false
  return ['groups', ...names].some(name => Object.hasOwn(elsewhere, name))
}
