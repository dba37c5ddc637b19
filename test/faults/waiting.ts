/**
 * Waiting for something to become true, with an end to it.
 */
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 20

/** @returns What `look` returned once it was something; `undefined` when it never was in time. */
export async function patience<T>(
  ms: number,
  look: () => T | undefined | Promise<T | undefined>,
  pollMs = POLL_MS,
): Promise<T | undefined> {
  const until = performance.now() + ms
  for (;;) {
    const found = await look()
    if (found !== undefined || performance.now() > until) return found
    await sleep(pollMs)
  }
}

/** @returns Seconds since `from` (of `performance.now()`) at which it was true; `Infinity` if never. */
export async function secondsUntil(
  isSo: () => boolean | Promise<boolean>,
  { from = performance.now(), patienceMs = 20_000, pollMs = POLL_MS } = {},
): Promise<number> {
  const at = await patience(
    patienceMs,
    async () => ((await isSo()) ? performance.now() : undefined),
    pollMs,
  )
  return at === undefined ? Infinity : (at - from) / 1000
}
