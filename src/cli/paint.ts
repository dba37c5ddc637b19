/**
 * Colours, for a screen and nothing else.
 */

export interface Paint {
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
  readonly odd: (text: string) => string
  readonly faint: (text: string) => string
  readonly strong: (text: string) => string
}

/**
 * @param isScreen Whether a person looks at it.
 * @param environment `NO_COLOR`, if it is not empty, and `TERM=dumb` leave the colours out.
 * @see https://no-color.org
 */
export function createPaint(
  isScreen: boolean,
  environment: Readonly<Record<string, string | undefined>>,
): Paint {
  const isPlain = !isScreen || Boolean(environment['NO_COLOR']) || environment['TERM'] === 'dumb'
  const sgr = (code: number) => (text: string) =>
    isPlain ? text : `\u001b[${code}m${text}\u001b[0m`
  return { good: sgr(32), bad: sgr(31), odd: sgr(33), faint: sgr(2), strong: sgr(1) }
}
