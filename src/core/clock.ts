/**
 * Two clocks, because they answer different questions: the wall clock says whether a claim has
 * expired and may be stepped by NTP; the monotonic one says how old a cache entry is and may not.
 */
export interface Clock {
  /** Seconds since the epoch, with fractions. */
  readonly wallSeconds: () => number
  /** Milliseconds since an arbitrary start; never goes back. */
  readonly monotonicMs: () => number
}

export const systemClock: Clock = {
  wallSeconds: () => Date.now() / 1000,
  monotonicMs: () => performance.now(),
}
