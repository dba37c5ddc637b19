/**
 * Finds a claim by the name an operator wrote down.
 */
import type { Claims } from '../core/identity.ts'
import { trimAscii } from './text.ts'

/**
 * The first of `names` that the claims hold.
 *
 * @param names Each a literal claim name, whatever it contains (`cognito:groups`,
 *   `https://example.com/groups`), or a JSON pointer when it begins with `/` (`/realm_access/roles`).
 * @returns The value as parsed, `undefined` when none is there; `null` counts as absent. Only own
 *   properties are followed, so no name reaches `Object.prototype`.
 * @see RFC 6901
 */
export function findClaim(claims: Claims, names: readonly string[]): unknown {
  for (const name of names) {
    const value = name.startsWith('/') ? follow(claims, name) : ownValue(claims, name)
    if (value !== undefined && value !== null) return value
  }
  return undefined
}

/**
 * {@link findClaim} where only text counts: trimmed; nothing when nothing is left or it is no string,
 * even if a later name would have had one.
 */
export function findText(claims: Claims, names: readonly string[]): string | undefined {
  const value = findClaim(claims, names)
  const text = typeof value === 'string' ? trimAscii(value) : ''
  return text === '' ? undefined : text
}

function follow(claims: Claims, pointer: string): unknown {
  return pointer
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(ownValue, claims)
}

function ownValue(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  const found: unknown = Object.getOwnPropertyDescriptor(value, name)?.value
  return found
}
