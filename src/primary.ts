/**
 * The process in front of several that serve. It has the admin port and no request ever reaches it: it
 * keeps the workers alive, answers for them, and adds up what they count.
 */
import { Registry } from 'prom-client'
import type { Config } from './config/config.ts'
import { systemClock as clock } from './core/clock.ts'
import type { Host } from './core/host.ts'
import { createAggregate } from './observe/aggregate.ts'
import type { Log } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import type { Service } from './operate.ts'
import { createCrew, type Child } from './workers/crew.ts'

/** How long a worker may take to answer; one that hangs must not take a probe or a scrape with it. */
const ASK_MS = 2_000
/** How long workers may take to end once their time for draining is up. */
const GRACE_MS = 2_000
const PAUSE_MS = 500

export function createPrimary(
  config: Config,
  { logger }: Log,
  { version, node, onReload }: Pick<Host, 'version' | 'node' | 'onReload'>,
  fork: () => Child,
): Service {
  let isDraining = false
  let lost: (fault: Error) => void = () => undefined
  const registry = new Registry()
  // The same metrics as in a worker, so that each of them is there before any worker has told its own.
  const metrics = createMetrics(registry, {
    upstreamConnections: () => 0,
    webSockets: () => 0,
    isDraining: () => isDraining,
    isUnsafe: config.unsafeAllowAnyClient || config.unsafeAllowAnyIssuer,
    version,
    node,
  })
  const aggregate = createAggregate()

  const crew = createCrew({
    ...{ fork, clock },
    size: config.workers,
    ...{ askMs: ASK_MS, graceMs: GRACE_MS, pauseMs: PAUSE_MS },
    drainTimeoutMs: config.drainTimeoutMs,
    onMetrics: ({ id }, snapshot) => {
      aggregate.update(id, snapshot)
    },
    onEnded: ({ id, pid }, how, isExpected) => {
      void aggregate.retire(id)
      if (isExpected) logger.debug({ worker: pid, how }, 'worker ended')
      else logger.error({ worker: pid, how }, 'worker ended')
    },
    onReplaced: ({ pid }) => {
      metrics.workerRestarted()
      logger.warn({ worker: pid }, 'worker started in place of another')
    },
    onLost: fault => {
      lost(fault)
    },
  })
  onReload(crew.reload)

  return {
    start: crew.start,
    onLost: heed => {
      lost = heed
    },
    notReady: crew.notReady,
    notHealthy: crew.notHealthy,
    metrics: async () => {
      await crew.askMetrics()
      return aggregate.page(await registry.getMetricsAsJSON())
    },
    drain: delayMs => {
      isDraining = true
      return crew.drain(delayMs)
    },
    end: crew.end,
  }
}
