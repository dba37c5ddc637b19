/**
 * One whole answer of ours, but for what every answer of ours has.
 */
import type { HeaderList } from './headers.ts'

export interface Reply {
  readonly status: number
  readonly headers: HeaderList
  readonly contentType: string
  readonly body: string
}
