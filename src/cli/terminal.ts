/**
 * What a command has of the process it runs in, and the ways in which it ends other than well.
 */
import type { Environment } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'

export interface Terminal {
  /** Behind the program's name. */
  readonly args: readonly string[]
  readonly environment: Environment
  readonly version: string
  readonly clock: Clock
  /** Whether somebody looks at what is printed, rather than a file or another program. */
  readonly isScreen: boolean
  /** Standard input, to its end. */
  readonly readInput: () => Promise<string>
  readonly print: (text: string) => void
  readonly printError: (text: string) => void
}

/** The command cannot be understood; the message says what would be. It never holds an argument. */
export class Usage extends Error {}
