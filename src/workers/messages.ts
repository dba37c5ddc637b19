/**
 * What the primary and its workers say to one another, over the channel that node opens between a
 * process and its child. Plain JSON, so that a message can be read in a debugger.
 */

/** From the primary. `id` comes back with the answer. */
export type Order =
  /** Take connections; before that, wait for the keys, but no longer than this. */
  | { readonly order: 'listen'; readonly patienceMs: number }
  | { readonly order: 'readiness' | 'metrics'; readonly id: number }
  /** Leave: go on serving for so long, then as `drain` does. */
  | { readonly order: 'drain'; readonly delayMs: number }
  /** Somebody sent SIGHUP. */
  | { readonly order: 'reload' }

/** From a worker. */
export type Word =
  /** It can be spoken to. */
  | { readonly word: 'hello' }
  | { readonly word: 'listening'; readonly address: unknown }
  | { readonly word: 'failed'; readonly message: string }
  /** @see Order `why` is absent when it can serve. */
  | { readonly word: 'readiness'; readonly id: number; readonly why?: string }
  /** Every metric of its registry; without `id` when it was not asked: the last before it ends. */
  | { readonly word: 'metrics'; readonly id?: number; readonly snapshot: Snapshot }
  /** Something went wrong with it; it takes no more connections and ends soon. */
  | { readonly word: 'leaving' }
  /** Whether every request was answered to its end. */
  | { readonly word: 'drained'; readonly inTime: boolean }

/** Opaque here; `observe/` makes and reads it. */
export type Snapshot = readonly object[]

export function isOrder(message: unknown): message is Order {
  return typeof message === 'object' && message !== null && 'order' in message
}

export function isWord(message: unknown): message is Word {
  return typeof message === 'object' && message !== null && 'word' in message
}
