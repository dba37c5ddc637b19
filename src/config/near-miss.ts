/**
 * Finds variables that look as if they were meant for us but are not.
 */

/** A suffix that Kubernetes adds to a service's name: never a misspelt setting. */
const SERVICE_LINK = /_SERVICE_(?:HOST|PORT(?:_\w+)?)$|_PORT(?:_\d+_(?:TCP|UDP)(?:_\w+)?)?$/

/**
 * @param environment What is set.
 * @param variables Our own names; each may also end in `_FILE`.
 * @returns A sentence for every unknown variable that starts like one of ours (the same first word)
 *   and is not far from it.
 */
export function nearMisses(
  environment: Readonly<Record<string, string | undefined>>,
  variables: readonly string[],
): string[] {
  const ours = new Set(variables.flatMap(name => [name, `${name}_FILE`]))
  return Object.keys(environment)
    .filter(name => !ours.has(name) && !SERVICE_LINK.test(name))
    .flatMap(name => {
      const kin = variables.filter(own => own.includes('_') && firstWord(own) === firstWord(name))
      const [nearest] = kin.sort((a, b) => distance(name, a) - distance(name, b))
      if (nearest === undefined || distance(name, nearest) > name.length / 2) return []
      return [`${name} is not a setting; did you mean ${nearest}?`]
    })
}

function firstWord(name: string): string {
  return name.slice(0, Math.max(0, name.indexOf('_')))
}

/** Levenshtein's: how many characters must be put in, taken out or changed. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (const [i, letter] of from.split('').entries()) {
    let left = i + 1
    const next = [left]
    for (const [j, other] of to.split('').entries()) {
      const [diagonal = 0, above = 0] = row.slice(j, j + 2)
      left = Math.min(diagonal + (letter === other ? 0 : 1), above + 1, left + 1)
      next.push(left)
    }
    row = next
  }
  const [last = 0] = row.slice(-1)
  return last
}
