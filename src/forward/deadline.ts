/**
 * A time limit that progress pushes back.
 */
export interface Deadline {
  /** Starts the whole time over. */
  readonly extend: () => void
  readonly clear: () => void
}

const NEVER: Deadline = { extend: () => undefined, clear: () => undefined }

/** @param ms 0 for no limit at all. */
export function createDeadline(ms: number, expired: () => void): Deadline {
  if (ms === 0) return NEVER
  const timer = setTimeout(expired, ms)
  return {
    extend: () => {
      timer.refresh()
    },
    clear: () => {
      clearTimeout(timer)
    },
  }
}
