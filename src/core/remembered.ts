/**
 * Answers to questions about short texts, such as the names of headers: the same few come with every
 * request, and asking anew costs more than the rest of what is done with them.
 */

/** This many different texts are remembered, then all are forgotten. */
const MAX_TEXTS = 1_024
/** Longer ones are worked out every time. */
const MAX_LENGTH = 64

/** @param work Must depend on nothing but its argument, and its answers must not be changed. */
export function remembered<T extends string | number | boolean | object>(
  work: (text: string) => T,
): (text: string) => T {
  const known = new Map<string, T>()
  return text => {
    const found = known.get(text)
    if (found !== undefined) return found
    const answer = work(text)
    if (text.length > MAX_LENGTH) return answer
    if (known.size >= MAX_TEXTS) known.clear()
    known.set(detached(text), answer)
    return answer
  }
}

/** The same text in memory of its own: a part of another keeps the whole of that alive. */
function detached(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}

/**
 * The same for what is asked about objects: an answer lives as long as the object it is about.
 *
 * @param work Must depend on nothing but its argument, and neither may be changed.
 */
export function rememberedPer<K extends object, T extends number | object>(
  work: (about: K) => T,
): (about: K) => T {
  const known = new WeakMap<K, T>()
  return about => {
    const found = known.get(about)
    if (found !== undefined) return found
    const answer = work(about)
    known.set(about, answer)
    return answer
  }
}
