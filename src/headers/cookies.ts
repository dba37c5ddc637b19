/**
 * Takes named cookies out of a `Cookie` header and leaves every other byte of it as it was.
 *
 * Names are compared after percent-decoding and folding: applications trim white space that is none
 * to us (Tornado strips U+00A0), PHP decodes `%5F` and reads `.` as `_`, and a cookie that we remove
 * for being one of ours in disguise is never one that anybody misses.
 */
import { fold } from '../core/headers.ts'
import { remembered } from '../core/remembered.ts'

/** Says of a cookie's name, as it stands between `;` and `=`, whether it must go. */
export type OwnedCookies = (name: string) => boolean

/** The ALB's session cookie, unless a rule gives it another name. */
export const DEFAULT_SESSION_COOKIE = 'AWSELBAuthSessionCookie'

/**
 * @param names Cookies that are removed in every spelling.
 * @param sessionCookie Removed too, whole or as the shards `-0`, `-1`… that an ALB splits it into;
 *   so is anything that begins with the default name.
 */
export function ownedCookies(names: readonly string[], sessionCookie: string): OwnedCookies {
  const whole = new Set(names.map(canonical))
  const always = canonical(DEFAULT_SESSION_COOKIE)
  const session = canonical(sessionCookie)
  const isOwned = (found: string) => {
    if (whole.has(found) || found.startsWith(always)) return true
    return found.startsWith(session) && /^(?:-\d+)?$/.test(found.slice(session.length))
  }
  return remembered(name => isOwned(canonical(name)) || isOwned(cutShort(name)))
}

/**
 * @param value One `Cookie` header value.
 * @returns What is left, in order and byte for byte; empty when nothing is.
 */
export function withoutCookies(value: string, owned: OwnedCookies): string {
  const pieces = value.split(';')
  const kept = pieces.filter(piece => !names(piece, owned))
  if (kept.length === pieces.length) return value
  return kept.join(';').replace(/^[ \t]+/, '')
}

/** White space or a comma elsewhere than at the start of a piece, where browsers put a space. */
const PARTED = /.[\s,]/s

/**
 * Whether any name that some parser might find between two semicolons is one of those: the whole of it,
 * and, as Python's `http.cookies` does, each part between white space and commas.
 */
function names(piece: string, owned: OwnedCookies): boolean {
  if (owned(nameOf(piece))) return true
  return PARTED.test(piece) && piece.split(/[\s,]/).some(part => owned(nameOf(part)))
}

function nameOf(part: string): string {
  const end = part.indexOf('=')
  return end < 0 ? part : part.slice(0, end)
}

/** The name as the laxest reader sees it: decoded and folded. */
function canonical(name: string): string {
  return trimDashes(fold(decoded(name)))
}

/** The same name cut at a NUL or `[`, where PHP ends it. */
function cutShort(name: string): string {
  const [cut = ''] = decoded(name).split(/[\0[]/, 1)
  return trimDashes(fold(cut))
}

function decoded(name: string): string {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

/** In two passes: a regular expression takes the square of the length, which the sender chooses. */
function trimDashes(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && text[from] === '-') from++
  while (to > from && text[to - 1] === '-') to--
  return text.slice(from, to)
}
