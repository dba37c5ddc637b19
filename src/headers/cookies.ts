/**
 * Takes named cookies out of a `Cookie` header and leaves every other byte of it as it was.
 *
 * Names are compared after percent-decoding and folding: applications trim white space that is none
 * to us (Tornado strips U+00A0), PHP decodes `%5F` and reads `.` as `_`, and a cookie that we remove
 * for being one of ours in disguise is never one that anybody misses.
 */
import { fold } from '../core/headers.ts'

/** Says of a cookie's name, as it stands between `;` and `=`, whether it must go. */
export type IsOwnedCookie = (name: string) => boolean

/** The ALB's session cookie, unless a rule gives it another name. */
export const DEFAULT_SESSION_COOKIE = 'AWSELBAuthSessionCookie'

/**
 * @param names Cookies that are removed in every spelling.
 * @param sessionCookie Removed too, whole or as the shards `-0`, `-1`… that an ALB splits it into;
 *   so is anything that begins with the default name.
 */
export function ownedCookies(names: readonly string[], sessionCookie: string): IsOwnedCookie {
  const whole = new Set(names.map(canonical))
  const always = canonical(DEFAULT_SESSION_COOKIE)
  const session = canonical(sessionCookie)
  return name => {
    const found = canonical(name)
    if (whole.has(found) || found.startsWith(always)) return true
    return found.startsWith(session) && /^(?:-\d+)?$/.test(found.slice(session.length))
  }
}

/**
 * @param value One `Cookie` header value.
 * @returns What is left, in order and byte for byte; empty when nothing is.
 */
export function withoutCookies(value: string, isOwned: IsOwnedCookie): string {
  const kept = value.split(';').filter(piece => !namesIn(piece).some(isOwned))
  return kept.join(';').trim()
}

/**
 * Every name that some parser might find between two semicolons: Python's `http.cookies` also takes
 * white space and commas for separators.
 */
function namesIn(piece: string): string[] {
  return piece.split(/[\s,]/).map(part => part.split('=', 1)[0] ?? '')
}

/** The name as the laxest reader sees it: decoded, cut at a NUL or `[` as PHP does, and folded. */
function canonical(name: string): string {
  const decoded = name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  const [cut = ''] = decoded.split(/[\0[]/, 1)
  return trimDashes(fold(cut))
}

/** In two passes: a regular expression takes the square of the length, which the sender chooses. */
function trimDashes(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && text[from] === '-') from++
  while (to > from && text[to - 1] === '-') to--
  return text.slice(from, to)
}
