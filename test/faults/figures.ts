/**
 * What a case reports: figures, each with the bound it is held to.
 *
 * Counts are absolute. Times are the product's promise and not the machine's, which is shared: one that
 * was missed is measured again, three times at most, and the median of what was measured is reported.
 */
import type { World } from './world.ts'

export interface Figure {
  readonly what: string
  readonly measured: string
  /** Empty for what is told and not promised. */
  readonly bound: string
  readonly held: boolean
}

export const LANES = ['busy', 'waiting', 'long'] as const

export interface FaultCase {
  /** What `--only` takes. */
  readonly name: string
  /** The figure of the threat model that it measures, e.g. `R3`. */
  readonly figure: string
  readonly what: string
  /** Lanes run side by side: what keeps the machine busy, what mostly waits, what takes longest. */
  readonly lane: (typeof LANES)[number]
  /** For the whole case, whatever hangs. */
  readonly limitSeconds: { readonly short: number; readonly full: number }
  readonly run: (world: World) => Promise<readonly Figure[]>
}

/** Measurements of one time before it counts as missed. */
const ATTEMPTS = 3

/** A count that must be exactly so much. */
export function exactly(what: string, count: number, wanted: number, of?: number): Figure {
  const measured = of === undefined ? count.toString() : `${count} of ${of}`
  return { what, measured, bound: wanted.toString(), held: count === wanted }
}

/** All of a number of attempts, of which there must have been some. */
export function every(what: string, count: number, of: number): Figure {
  return { what, measured: `${count} of ${of}`, bound: 'all', held: count === of && of > 0 }
}

export function atMost(what: string, value: number, limit: number, unit = ''): Figure {
  const text = (number: number) => `${Number(number.toFixed(2))}${unit}`
  return { what, measured: text(value), bound: `≤ ${text(limit)}`, held: value <= limit }
}

/** What is worth telling and depends on the machine. */
export function told(what: string, measured: string): Figure {
  return { what, measured, bound: '', held: true }
}

/**
 * A time in seconds, measured again when it was missed; held when one measurement was within `limit`.
 *
 * @param measure Arranges its cause anew each time; `Infinity` for what did not happen at all.
 */
export async function within(
  what: string,
  limit: number,
  measure: () => Promise<number>,
): Promise<Figure> {
  const seconds: number[] = []
  do seconds.push(await measure())
  while (Math.min(...seconds) > limit && seconds.length < ATTEMPTS)
  const measured = `${median(seconds).toFixed(2)} s${seconds.length > 1 ? ` (of ${seconds.length})` : ''}`
  return { what, measured, bound: `≤ ${limit} s`, held: Math.min(...seconds) <= limit }
}

/** The lower of the two in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN
}

export function quantile(values: readonly number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? Number.NaN
}
