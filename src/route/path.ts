/**
 * One canonical path, or not canonical.
 *
 * An open rule is an exemption from authentication, so it may only be applied to a path that every
 * application reads the same way. This file does not normalise: an application might do it
 * differently. It says whether there is anything to normalise at all.
 */

/**
 * What could make two readers of a path disagree: an empty, `.` or `..` segment, a path parameter,
 * a stray `%`, or anything the request line should not hold (admit refuses those; asked again here
 * because this answer must not depend on who asked before).
 */
const AMBIGUOUS = /\/\/|\/\.{1,2}(?=\/|$)|[;\\#]|[^\x21-\x7e]|%(?![0-9A-Fa-f]{2})/

/** What an encoded character may not stand for: separators, dots, and what no plain path holds. */
const DISGUISED = /[/\\.;%?#]|[^\x20-\x7e]/

/**
 * Whether `path` reads the same to everyone: it starts with one `/`, holds nothing ambiguous, and no
 * `%xx` in it decodes, once or twice, to a separator, a dot, a control or a non-ASCII byte.
 *
 * A `%25` is refused with the rest, and with it every double encoding.
 *
 * @param path The request target up to its first `?`, as received.
 * @see oauth2-proxy GHSA-pxq7-h93f-9jrg, fastify-reply-from GHSA-2q7r-29rg-6m5h
 */
export function isCanonical(path: string): boolean {
  if (!path.startsWith('/') || AMBIGUOUS.test(path)) return false
  if (!path.includes('%')) return true
  for (const [, hex = ''] of path.matchAll(/%(..)/g)) {
    if (DISGUISED.test(String.fromCharCode(Number.parseInt(hex, 16)))) return false
  }
  return true
}

/** What {@link isCanonical} takes exception to, in the words of an operator, likeliest first. */
const FLAWS: readonly (readonly [flaw: RegExp, words: string])[] = [
  [/^(?!\/)/, 'it does not begin with /'],
  [/\/\//, 'it has an empty segment (//)'],
  [/\/\.{1,2}(?=\/|$)/, 'it has a . or .. segment'],
  [/;/, 'it has a path parameter (;)'],
  [/%(?![0-9A-Fa-f]{2})/, 'it has a % without two hex digits behind it'],
  [/%2e/i, 'it has an encoded dot'],
  [/%(?:2f|5c)/i, 'it has an encoded slash or backslash'],
  [/%25/, 'it has an encoded %, behind which anything may hide'],
]

/**
 * @returns Why no rule can open a path, or `undefined` when it is canonical.
 */
export function whyNotCanonical(path: string): string | undefined {
  if (isCanonical(path)) return undefined
  const found = FLAWS.find(([flaw]) => flaw.test(path))
  return found?.[1] ?? 'it holds a character, plain or encoded, that readers of paths disagree on'
}

/** The part of a request target that rules are applied to: everything before the first `?`. */
export function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}
