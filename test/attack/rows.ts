/**
 * Running many rows against one sidecar: several at a time, each under a path of its own, so that
 * whatever arrives upstream tells where it came from.
 */
import { setTimeout as sleep } from 'node:timers/promises'

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

/** Waits until `isSo`, at most `patienceMs`; whether it came to be so is the caller's to assert. */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  patienceMs = 5_000,
): Promise<boolean> {
  const deadline = Date.now() + patienceMs
  while (!(await isSo())) {
    if (Date.now() > deadline) return false
    await sleep(15)
  }
  return true
}
