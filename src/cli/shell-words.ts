/**
 * Cuts one shell command into its words, as sh and bash do for what browsers put into "copy as cURL":
 * single, double and `$'…'` quotes, backslashes, continued lines. Nothing is expanded.
 */

const WORD =
  /\s+|\\\r?\n|'([^']*)'|\$'((?:[^'\\]|\\[^])*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^\s'"\\$]+|\$)/y

/** @returns The words, or `undefined` when a quote is left open. */
export function shellWords(command: string): readonly string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  const end = () => {
    if (word !== undefined) words.push(word)
    word = undefined
  }
  for (let at = 0; at < command.length; at = WORD.lastIndex) {
    WORD.lastIndex = at
    const found = WORD.exec(command)
    if (found === null) return undefined
    const [whole, single, ansi, double, escaped, plain] = found
    const piece =
      single ??
      (ansi === undefined ? undefined : fromAnsi(ansi)) ??
      unescape(double) ??
      escaped ??
      plain
    if (piece !== undefined) word = (word ?? '') + piece
    else if (!whole.startsWith('\\')) end()
  }
  end()
  return words
}

/** In double quotes a backslash means itself but before these. */
function unescape(text: string | undefined): string | undefined {
  return text?.replace(/\\(?:([$`"\\])|\r?\n)/g, '$1')
}

const NAMED: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

/** @see bash(1), QUOTING */
function fromAnsi(text: string): string {
  return text.replace(/\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|[^])/g, (_, code: string) =>
    code.length > 1
      ? String.fromCharCode(Number.parseInt(code.slice(1), 16))
      : (NAMED.get(code) ?? code),
  )
}
