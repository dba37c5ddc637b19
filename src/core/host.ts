/**
 * The process that everything runs in, as far as the rest may know it: only `main.ts` has it itself.
 */
export interface Host {
  /** Of this program. */
  readonly version: string
  /** Of the runtime, as `v24.1.0`. */
  readonly node: string
  /** Ends the process once its log has been written, or without when that takes too long. */
  readonly exit: (code: number, patienceMs?: number) => void
  /** SIGTERM and SIGINT; those that came before anybody could heed them are told at once. */
  readonly onSignal: (heed: (signal: string) => void) => void
  /** SIGHUP: files may have changed. */
  readonly onReload: (heed: () => void) => void
  /** An exception that nobody caught. */
  readonly onFault: (heed: (error: unknown) => void) => void
}
