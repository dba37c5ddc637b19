/**
 * Lets so many through at a time; the rest wait in line, first come first served.
 *
 * Who leaves the line is gone from it at once: clients that come and go while the application is busy
 * must not fill the memory.
 */
import { createDeadline } from './deadline.ts'

export interface Places {
  /** Takes a place if there is one. */
  readonly tryEnter: () => boolean
  /**
   * Takes a place, at once or when one is given back.
   *
   * @param leave Called with a function that gives up waiting; returns how to take that back.
   * @returns `in`; `full` when the line is as long as it may be; `left` or `late` when waiting ended.
   */
  readonly enter: (
    leave: (giveUp: () => void) => () => void,
  ) => Promise<'in' | 'full' | 'left' | 'late'>
  /** Gives a place back. */
  readonly exit: () => void
}

/**
 * @param places How many may be inside at a time, and how many may wait.
 * @param patienceMs How long one may wait; 0 for no limit.
 */
export function createPlaces(places: number, patienceMs: number): Places {
  const waiting = new Set<() => void>()
  let inside = 0
  function tryEnter(): boolean {
    if (inside >= places) return false
    inside++
    return true
  }

  return {
    tryEnter,
    enter(leave) {
      if (tryEnter()) return Promise.resolve('in')
      if (waiting.size >= places) return Promise.resolve('full')
      return new Promise(resolve => {
        const end = (how: 'in' | 'left' | 'late') => () => {
          waiting.delete(admit)
          deadline.clear()
          stay()
          resolve(how)
        }
        const admit = end('in')
        const deadline = createDeadline(patienceMs, end('late'))
        const stay = leave(end('left'))
        waiting.add(admit)
      })
    },
    exit() {
      const [next] = waiting
      if (next === undefined) inside--
      else next()
    },
  }
}
