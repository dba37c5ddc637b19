/**
 * Running many rows against one sidecar: several at a time, each under a path of its own, so that
 * whatever arrives upstream tells where it came from.
 */
export { eventually } from '../fixtures/patience.ts'

let count = 0

/** A path that no other row has. */
export function tag(): string {
  return `/row-${++count}`
}

/** Runs `act` on every row, eight rows at a time. */
export async function each<Row>(
  rows: readonly Row[],
  act: (row: Row) => Promise<void>,
): Promise<void> {
  const waiting = rows.values()
  const worker = async () => {
    for (const row of waiting) await act(row)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}
