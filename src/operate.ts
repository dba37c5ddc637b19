/**
 * What a platform deals with, whether one process serves or several: the admin port, signals, the exit
 * code.
 *
 * The first SIGTERM or SIGINT drains, or ends at once what has not begun to serve; the second one ends
 * at once in any case. An exception that nobody caught leaves nobody able to say what still holds: no
 * more connections, the requests in flight may end, and the platform starts another one.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { Registry } from 'prom-client'
import type { LoadedConfig } from './config/config.ts'
import { systemClock as clock } from './core/clock.ts'
import { EXIT } from './core/exit.ts'
import type { Host } from './core/host.ts'
import { createProbe } from './forward/probe.ts'
import { rulesIn } from './gate.ts'
import { createAdmin } from './observe/admin.ts'
import type { Log } from './observe/log.ts'
import { warningAbout } from './route/routes.ts'

/** Whoever serves. */
export interface Service {
  /**
   * Takes connections from now on.
   * @returns The address.
   * @throws {Error} when it cannot.
   */
  readonly start: () => Promise<unknown>
  /** Calls when it can serve no longer by any fault. */
  readonly onLost: (heed: (fault: Error) => void) => void
  /** Why it should get no requests now. */
  readonly notReady: () => Promise<string | undefined>
  /** Why it should be started anew. */
  readonly notHealthy: () => Promise<string | undefined>
  /** The whole metrics page. */
  readonly metrics: () => Promise<string>
  /** @returns Whether everything ended in time. */
  readonly drain: (delayMs: number) => Promise<boolean>
  /** Leaves nothing behind: what is not this process itself is killed. */
  readonly end: () => void
}

/** For the last words of who is told to end at once. */
const LAST_WORDS_MS = 100

/** Runs `service`, and ends the process when it has left or cannot serve. */
export async function operate(
  service: Service,
  { config, warnings }: LoadedConfig,
  { logger }: Log,
  host: Host,
): Promise<void> {
  let phase: 'starting' | 'serving' | 'leaving' = 'starting'
  const isLeaving = () => phase === 'leaving'

  const endAtOnce = (code: number, patienceMs?: number) => {
    phase = 'leaving'
    service.end()
    host.exit(code, patienceMs)
  }
  const leave = (delayMs: number, code: number) => {
    phase = 'leaving'
    void service.drain(delayMs).then(inTime => {
      logger.info({ inTime }, 'drained')
      host.exit(code)
    })
  }
  host.onFault(error => {
    logger.error({ err: error }, 'fault')
    if (phase === 'serving') leave(0, EXIT.fault)
    else endAtOnce(EXIT.fault)
  })
  host.onSignal(signal => {
    if (phase === 'leaving') {
      endAtOnce(EXIT.fault, LAST_WORDS_MS)
    } else if (phase === 'starting') {
      logger.info({ signal }, 'ended before serving')
      endAtOnce(0)
    } else {
      logger.info({ signal }, 'draining')
      leave(config.drainDelayMs, 0)
    }
  })
  service.onLost(fault => {
    logger.error({ err: fault }, 'nobody serves')
    endAtOnce(EXIT.fault)
  })
  if (isLeaving()) return

  const probe = createProbe({
    ...config.upstream,
    ca: config.upstreamCa,
    timeoutMs: 1_000,
    now: clock.monotonicMs,
  })
  const admin = createAdmin({
    metrics: service.metrics,
    metricsContentType: Registry.PROMETHEUS_CONTENT_TYPE,
    notReady: async () => {
      if (isLeaving()) return 'draining'
      const why = await service.notReady()
      if (why !== undefined) return why
      return (await probe()) ? undefined : 'the application does not take connections'
    },
    notHealthy: service.notHealthy,
  })
  const rules = rulesIn(config)
  for (const warning of [...warnings, ...rules.flatMap(rule => warningAbout(rule) ?? [])]) {
    logger.warn(warning.text)
  }
  let variables = 'HOST, PORT'
  try {
    const address = await service.start()
    variables = 'ADMIN_HOST, ADMIN_PORT'
    const adminAddress = await listen(admin, config.adminPort, config.adminHost)
    if (isLeaving()) return
    phase = 'serving'
    const { version, node } = host
    logger.info({ address, adminAddress, workers: config.workers, version, node }, 'listening')
  } catch (error) {
    if (isLeaving()) return
    logger.error({ err: error, variables }, 'cannot listen')
    endAtOnce(EXIT.fault)
  }
}

async function listen(server: Server, port: number, host: string) {
  server.listen(port, host)
  await once(server, 'listening')
  return server.address()
}
