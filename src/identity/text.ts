/**
 * Text as identity is compared by: only what is ASCII is made alike, because a letter or a space from
 * elsewhere that became one of ours would turn one name into another's.
 */

/** Only A to Z: the Kelvin sign must not turn into a `k` that somebody else's name is spelled with. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, letter => letter.toLowerCase())
}

/** Without spaces, tabs and line ends around it; in two passes, whatever the length. */
export function trimAscii(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}
