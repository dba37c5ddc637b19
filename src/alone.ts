/**
 * One process that does everything, as with `WORKERS=1`.
 */
import type { Service } from './operate.ts'
import type { Sidecar } from './sidecar.ts'

/** @param creating Begun already, so that nothing waits for it but the start. */
export function createAlone(creating: Promise<Sidecar>): Service {
  return {
    start: async () => (await creating).listen(),
    onLost: () => undefined,
    notReady: async () => (await creating).notReady(),
    notHealthy: () => Promise.resolve(undefined),
    metrics: async () => (await creating).registry.metrics(),
    drain: async delayMs => (await creating).drain(delayMs),
    end: () => undefined,
  }
}
