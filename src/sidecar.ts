/**
 * Composition of one process that serves: configuration → steps → the port that faces the load
 * balancer. Gives each step the few values it needs; those of the decision get theirs in gate.ts.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import type { LoadedConfig } from './config/config.ts'
import { systemClock as clock } from './core/clock.ts'
import type { Host } from './core/host.ts'
import type { Telemetry } from './core/telemetry.ts'
import { rejected } from './core/verdict.ts'
import { createForward } from './forward/forward.ts'
import { createGate } from './gate.ts'
import type { Log } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { createPipeline } from './pipeline.ts'
import { drain } from './server/drain.ts'
import { rawRefusal, refusalFor, sendReply } from './server/refuse.ts'
import { requestIdOf } from './server/request-id.ts'
import { createServer } from './server/server.ts'
import { listenerOptions } from './tls/listener.ts'
import { followPair, type PairFiles } from './tls/pair-files.ts'
import { weaknessesOf, type Pair } from './tls/pair.ts'

/** How often the certificate's files are looked at. */
const LOOK_MS = 2_000

export interface Sidecar {
  readonly registry: Registry
  /**
   * Takes connections from now on.
   * @returns The address.
   * @throws {Error} when the port cannot be had.
   */
  readonly listen: () => Promise<unknown>
  /** Why it cannot tell yet who is who. */
  readonly notReady: () => string | undefined
  /**
   * Leaves: serves on for `delayMs`, then takes no more connections and sees the requests in flight
   * through for `DRAIN_TIMEOUT`.
   * @returns Whether all of them ended by themselves.
   */
  readonly drain: (delayMs: number) => Promise<boolean>
}

export async function createSidecar(
  { config, pair: filed }: Pick<LoadedConfig, 'config' | 'pair'>,
  log: Log,
  { version, node, onReload }: Pick<Host, 'version' | 'node' | 'onReload'>,
): Promise<Sidecar> {
  const state = { isDraining: false }
  const registry = new Registry()
  const metrics = createMetrics(registry, {
    upstreamConnections: () => forward.connections(),
    webSockets: () => forward.webSockets(),
    isDraining: () => state.isDraining,
    isUnsafe: config.unsafeAllowAnyClient || config.unsafeAllowAnyIssuer,
    version,
    node,
  })
  const telemetry: Telemetry = {
    ...metrics.telemetry,
    keyFetched: (...event) => {
      metrics.telemetry.keyFetched(...event)
      log.telemetry.keyFetched(...event)
    },
    upstreamFailed: (...event) => {
      metrics.telemetry.upstreamFailed(...event)
      log.telemetry.upstreamFailed(...event)
    },
  }

  const { upstream } = config
  const forward = createForward({
    ...upstream,
    ca: config.upstreamCa,
    connections: config.upstreamConnections,
    connectTimeoutMs: config.upstreamConnectTimeoutMs,
    headersTimeoutMs: config.upstreamHeadersTimeoutMs,
    idleTimeoutMs: config.upstreamIdleTimeoutMs,
    maxHeaderBytes: config.maxHeaderBytes,
    webSocketMaxAgeMs: config.webSocketMaxAgeMs,
    telemetry,
  })
  const gate = await createGate(config, { clock, telemetry })
  gate.start()
  const handle = createPipeline({
    clock,
    requestId: request => requestIdOf(request.rawHeaders),
    ...gate.steps,
    forward: forward.forward,
    refusalFor,
    sendReply,
    isClosing: () => state.isDraining,
    begin: () => {
      const settled = metrics.begin()
      return record => {
        settled(record)
        log.settled(record)
      }
    },
  })

  const pair = config.tlsSelfSigned ? await selfSigned() : filed
  const { server, closeIdle, closeAll } = createServer({
    ...config,
    tls: pair && listenerOptions(pair),
    onRequest: (...arrival) => {
      void handle(...arrival)
    },
    onRefused: (reason, isNew) => {
      const requestId = requestIdOf([])
      if (isNew) {
        metrics.refused({ verdict: rejected(reason), route: 'guarded' })
        log.refused(requestId, reason)
      }
      return rawRefusal(reason, requestId)
    },
  })
  server.on('tlsClientError', ({ message: detail }: Error) => {
    log.logger.debug({ detail }, 'no TLS handshake')
  })

  return {
    registry,
    async listen() {
      if (pair !== undefined) announce(log.logger, pair, 'certificate in use')
      server.listen(config.port, config.host)
      await once(server, 'listening')
      const { tlsCertFile: certificate, tlsKeyFile: key } = config
      if (filed !== undefined && certificate !== undefined && key !== undefined) {
        onReload(followFiles(server, { certificate, key }, filed, log.logger))
      }
      return server.address()
    },
    notReady: () =>
      gate.isReady() ? undefined : 'the keys of the identity provider have not been read yet',
    async drain(delayMs) {
      state.isDraining = true
      const inTime = await drain({
        ...{ server, closeIdle, closeAll, closeWebSockets: forward.closeWebSockets },
        ...{ delayMs, timeoutMs: config.drainTimeoutMs },
      })
      forward.close()
      return inTime
    },
  }
}

/** Says which certificate new connections are shown from now on. */
function announce(logger: Logger, pair: Pair, message: string): void {
  const { notBefore, notAfter, fingerprint256 } = pair
  logger.info({ notBefore, notAfter, fingerprint256 }, message)
  for (const warning of weaknessesOf(pair, clock.wallSeconds())) logger.warn(warning)
}

/**
 * Shows new connections what the files hold once that is another good pair.
 * @returns Looks at once.
 */
function followFiles(server: Server, files: PairFiles, inUse: Pair, logger: Logger): () => void {
  const { reload } = followPair({
    ...{ files, inUse, everyMs: LOOK_MS },
    onPair: pair => {
      if (server instanceof TlsServer) server.setSecureContext(listenerOptions(pair))
      announce(logger, pair, 'certificate loaded')
    },
    onFaulty: ({ faults }) => {
      logger.error({ faults }, 'certificate not loaded, the one before stays in use')
    },
  })
  return () => void reload()
}

/** Loaded here, so that who needs no certificate does not pay for making one. */
async function selfSigned(): Promise<Pair> {
  const { createSelfSigned } = await import('./tls/self-signed.ts')
  return createSelfSigned(clock.wallSeconds())
}
