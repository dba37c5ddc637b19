/**
 * Telemetry of a command: there is nobody to count for.
 */
import type { Telemetry } from '../core/telemetry.ts'

const nothing = () => undefined

export const SILENT: Telemetry = {
  keyLookup: nothing,
  keyFetched: nothing,
  tokenCacheLookup: nothing,
  tokenVerified: nothing,
  upstreamFailed: nothing,
}
