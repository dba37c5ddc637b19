/**
 * Paths: what is open stays open whoever reads it, a pattern means what it says, and a redirect to
 * ourselves stays with us.
 */
import fc from 'fast-check'
import { matches } from '../../src/route/pattern.ts'
import { createRoutes } from '../../src/route/routes.ts'
import { parseRule } from '../../src/route/rules.ts'
import { ownLocation } from '../../src/session/session.ts'
import { ledOut } from './normalisers.ts'
import { joined, oneOf, type Property } from './property.ts'

/** Prefixes that rules open, as a path is judged and as it is read. */
const PREFIXES = ['/noauth/v1/challenge_poller/', '/open/', '/api/v1/get_roles', '/a-b']
const routes = createRoutes(
  PREFIXES.map(prefix => {
    const rule = parseRule(`${prefix}*`)
    if (typeof rule === 'string') throw new Error(rule)
    return rule
  }),
)
export const pathPiece = fc.oneof(
  oneOf(
    '/',
    '.',
    '..',
    '/../',
    '/./',
    '//',
    ';',
    '\\',
    '%',
    '?',
    '#',
    'a',
    'admin',
    '%00',
    '\0',
    ' ',
  ),
  oneOf(
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%252e',
    '%252f',
    '%25',
    '%3b',
    '%3f',
    '%23',
    '%c0%ae',
    '%u002e',
  ),
  oneOf(
    '%e3%80%82',
    '%ef%bc%8f',
    '%09',
    '%0a',
    '%7f',
    '%80',
    '..;',
    ';x=',
    '%2e%2e',
    '%',
    'é',
    '…',
  ),
  fc.string({ maxLength: 3 }),
  fc.nat(255).map(byte => `%${byte.toString(16).padStart(2, '0')}`),
)

export const openPath: Property = {
  name: 'an open path stays open whoever reads it',
  share: 300_000,
  property: fc.property(oneOf(...PREFIXES), joined(pathPiece), (prefix, rest) => {
    const target = prefix + rest
    const [path = ''] = target.split('?', 1)
    return routes('GET', target).kind === 'guarded' || ledOut(path, prefix).length === 0
  }),
}

const MEANING: Readonly<Record<string, string>> = { '*': '[^]*', '?': '[^]' }
const toRegExp = (pattern: string) =>
  new RegExp(
    `^${pattern.replace(/[^]/g, each => MEANING[each] ?? `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`)}$`,
  )
const patternText = joined(oneOf('*', '?', 'a', 'b', '/', '.', '+', '(', '$'), 8)
export const pattern: Property = {
  name: 'a pattern matches what an expression of the same meaning does',
  share: 200_000,
  property: fc.property(
    patternText,
    joined(oneOf('a', 'b', '/', '.', '+', '*', '(', '$'), 8),
    (glob, text) => matches(glob, text) === toRegExp(glob).test(text),
  ),
}

export const location: Property = {
  name: 'a redirect to ourselves stays with us',
  share: 50_000,
  property: fc.property(
    joined(fc.oneof(pathPiece, oneOf('evil.example', '@', ':', 'http:')), 8),
    rest => {
      const target = `/${rest}`
      if (!/^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/.test(target)) return true
      const url = new URL(ownLocation(target), 'https://app.example.com/a/b')
      return url.origin === 'https://app.example.com'
    },
  ),
}
