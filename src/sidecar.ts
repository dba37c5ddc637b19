/**
 * Composition of one process that serves: configuration → steps → the port that faces the load
 * balancer. The only file that gives each step the few values it needs.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import type { Config, LoadedConfig } from './config/config.ts'
import { systemClock as clock } from './core/clock.ts'
import type { Host } from './core/host.ts'
import type { Telemetry } from './core/telemetry.ts'
import { rejected } from './core/verdict.ts'
import { createForward } from './forward/forward.ts'
import { createInject } from './headers/inject.ts'
import { createScrub } from './headers/scrub.ts'
import { createNormalize } from './identity/normalize.ts'
import type { Log } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { createPipeline } from './pipeline.ts'
import { matches } from './route/pattern.ts'
import { rulesOf } from './route/presets.ts'
import { createRoutes } from './route/routes.ts'
import { createAdmit } from './server/admit.ts'
import { drain } from './server/drain.ts'
import { rawRefusal, refusalFor, sendReply } from './server/refuse.ts'
import { requestIdOf } from './server/request-id.ts'
import { createServer } from './server/server.ts'
import { MARKER_COOKIE, createSession } from './session/session.ts'
import { listenerOptions } from './tls/listener.ts'
import { followPair, type PairFiles } from './tls/pair-files.ts'
import { weaknessesOf, type Pair } from './tls/pair.ts'
import { keyUrl } from './tokens/alb-arn.ts'
import { createAccessTokenVerifier } from './tokens/access-token.ts'
import { createAlbKeys } from './tokens/alb-keys.ts'
import { createAlbVerifier } from './tokens/alb-token.ts'
import { createVerifyCredentials } from './tokens/credentials.ts'
import { createBoundedFetch } from './tokens/bounded-fetch.ts'
import { createFetch } from './tokens/fetch.ts'
import { createJwks, DISCOVERY, KEY_SET, REFRESH_MS } from './tokens/jwks.ts'
import { PEM_KEY } from './tokens/pem-key.ts'
import { createVerifiedCache } from './tokens/verified-cache.ts'

/** What verified tokens of one kind may take in memory, in bytes, however many are allowed. */
const MAX_CACHE_BYTES = 33_554_432
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
  const inject = createInject(config)
  const verification = await createVerification(config, telemetry)
  const rules = [...config.noauthPaths, ...rulesOf(config.noauthPreset)]
  const handle = createPipeline({
    clock,
    requestId: request => requestIdOf(request.rawHeaders),
    admit: createAdmit(config),
    decideRoute: createRoutes(rules),
    scrub: createScrub({
      owned: inject.owned,
      listed: config.stripRequestHeaders,
      nonstandard: config.nonstandardHeaders,
      sessionCookie: config.albSessionCookie,
      ownCookies: [MARKER_COOKIE],
      guardedCookies: config.stripCookies,
    }),
    verify: verification.verify,
    normalize: createNormalize({
      ...config,
      keepsGroup: group =>
        config.groupsFilter.length === 0 ||
        config.groupsFilter.some(pattern => matches(pattern, group)),
    }),
    inject,
    unauthenticated: config.unauthenticated,
    enforcement: config.enforcement,
    session: createSession({
      sessionCookie: config.albSessionCookie,
      signOutPath: config.signOutPath,
      signOutRedirectUrl: config.signOutRedirectUrl ?? '',
      whoamiPath: config.whoamiPath,
      renewsAccessToken: config.accessTokenExpired === 'reauthenticate',
    }),
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
      verification.isReady()
        ? undefined
        : 'the keys of the identity provider have not been read yet',
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

/** Both tokens' verification, with the key stores and caches behind it. */
async function createVerification(config: Config, telemetry: Telemetry) {
  const fetch = await createFetch(config)
  const timeoutMs = config.keyFetchTimeoutMs
  const toleranceSeconds = config.clockToleranceMs / 1000
  const clients = config.albClientIds ?? 'any'
  const issuers = config.accessTokenIssuer ?? config.oidcIssuer ?? []
  const cache = { entries: config.tokenCacheSize, bytes: MAX_CACHE_BYTES, toleranceSeconds }

  const jwks = createJwks({
    source: config.accessTokenJwksUrl
      ? { url: config.accessTokenJwksUrl }
      : { issuer: issuers[0] ?? '' },
    refreshMs: REFRESH_MS,
    fetchSet: createBoundedFetch(fetch, timeoutMs, KEY_SET),
    fetchDiscovery: createBoundedFetch(fetch, timeoutMs, DISCOVERY),
    clock,
    telemetry,
  })
  if (config.accessToken !== 'ignore') void jwks.start()

  const verify = createVerifyCredentials({
    accessToken: config.accessToken,
    expiredAccessToken: config.accessTokenExpired,
    proven: createVerifiedCache({ source: 'alb', ...cache, clock, telemetry }),
    accessTokens: createVerifiedCache({ source: 'access_token', ...cache, clock, telemetry }),
    telemetry,
    verifyAlbToken: createAlbVerifier({
      arns: config.albArns,
      clients,
      issuers: config.oidcIssuer ?? 'any',
      toleranceSeconds,
      clock,
      telemetry,
      findKey: createAlbKeys({
        size: config.keyCacheSize,
        ttlMs: config.keyCacheTtlMs,
        staleMs: config.keyCacheStaleMs,
        negativeTtlMs: config.keyNegativeTtlMs,
        seeds: config.keySeeds ?? new Map(),
        urlOf: (arn, kid) => keyUrl(arn, kid, config.keyUrl),
        fetchKey: createBoundedFetch(fetch, timeoutMs, PEM_KEY),
        clock,
        telemetry,
      }),
    }),
    verifyAccessToken: createAccessTokenVerifier({
      algorithms: config.accessTokenAlgorithms,
      issuers,
      audiences: config.accessTokenAudiences,
      clientClaims: config.accessTokenClientClaims,
      clients,
      requireTokenUse: config.requireTokenUse,
      subjectClaim: config.accessTokenSubjectClaim,
      toleranceSeconds,
      clock,
      telemetry,
      findKey: jwks.find,
    }),
  })
  return { verify, isReady: () => config.accessToken !== 'required' || jwks.isLoaded() }
}
