/**
 * Chance that can be had again: everything random in the campaign comes from one seed, which is printed.
 */

export interface Dice {
  /** A whole number from 0 to `below` - 1. */
  readonly roll: (below: number) => number
  readonly pick: <Of>(from: readonly Of[]) => Of
  /** Whether something happens that does so once in `times`. */
  readonly once: (times: number) => boolean
}

/** @param seed 32 bits; the same ones give the same rolls. */
export function createDice(seed: number): Dice {
  let state = seed >>> 0
  const roll = (below: number): number => {
    // Mulberry32: 32 bits of state, each of which reaches every bit that comes out.
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
  return {
    roll,
    once: times => roll(times) === 0,
    pick: from => {
      const found = from[roll(from.length)]
      if (found === undefined) throw new Error('nothing to pick from')
      return found
    },
  }
}
