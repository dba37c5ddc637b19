/**
 * Answers to questions about header names: the same few names come with every request, and asking
 * anew costs more than the rest of what is done with them.
 */

/** Names of this many different spellings are remembered, then all are forgotten. */
const MAX_NAMES = 1_024
/** Longer ones are worked out every time. */
const MAX_LENGTH = 64

/** @param work Must depend on nothing but its argument. */
export function remembered<T extends string>(work: (name: string) => T): (name: string) => T {
  const known = new Map<string, T>()
  return name => {
    const found = known.get(name)
    if (found !== undefined) return found
    const answer = work(name)
    if (name.length > MAX_LENGTH) return answer
    if (known.size >= MAX_NAMES) known.clear()
    known.set(name, answer)
    return answer
  }
}
