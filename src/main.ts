#!/usr/bin/env node
/**
 * Composition root: environment -> configuration -> steps -> servers. The only reader of `process`,
 * and the only file that gives each step the few values it needs.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:tls'
import { pino, type Logger } from 'pino'
import { Registry } from 'prom-client'
import { ConfigFault, loadConfig, type Config, type LoadedConfig } from './config/config.ts'
import { systemClock as clock } from './core/clock.ts'
import type { Telemetry } from './core/telemetry.ts'
import { rejected } from './core/verdict.ts'
import { createForward } from './forward/forward.ts'
import { createProbe } from './forward/probe.ts'
import { createInject } from './headers/inject.ts'
import { createScrub } from './headers/scrub.ts'
import { createNormalize } from './identity/normalize.ts'
import { createAdmin } from './observe/admin.ts'
import { createLog } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { createPipeline } from './pipeline.ts'
import { matches } from './route/pattern.ts'
import { rulesOf } from './route/presets.ts'
import { createRoutes, warningAbout } from './route/routes.ts'
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

type Destination = ReturnType<typeof pino.destination>

/** EX_CONFIG of sysexits.h: starting again will not help. */
const EXIT_CONFIG = 78
const EXIT_FAULT = 1
/** Log lines that may wait for a reader, in bytes; what comes beyond is dropped, not waited for. */
const MAX_LOG_BACKLOG = 4_194_304
/** What verified tokens of one kind may take in memory, in bytes, however many are allowed. */
const MAX_CACHE_BYTES = 33_554_432

/** How often the certificate's files are looked at. */
const LOOK_MS = 2_000
/** How long the process waits for its log to be read before it ends without. */
const FLUSH_MS = 1_000

const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
const version = /"version": "([^"]+)"/.exec(manifest)?.[1] ?? 'unknown'

await start(load())

/** Reads the environment, or ends the process with everything that is wrong with it. */
function load(): LoadedConfig {
  try {
    return loadConfig({
      ...process.env,
      NODE_OPTIONS: [process.env['NODE_OPTIONS'] ?? '', ...process.execArgv].join(' '),
    })
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(EXIT_CONFIG)
  }
}

async function start({ config, pair: filed, warnings }: LoadedConfig): Promise<void> {
  const destination = pino.destination({
    ...{ dest: 1, sync: false, minLength: 1, maxLength: MAX_LOG_BACKLOG },
  })
  destination.on('error', () => undefined)
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    accessLog: config.accessLog,
    logSubject: config.logSubject,
    destination,
  })
  const { logger } = log
  const exit = (code: number, patienceMs = FLUSH_MS) => {
    exitAfter(destination, code, patienceMs)
  }
  process.on('uncaughtException', error => {
    logger.error({ err: error }, 'fault')
    exit(EXIT_FAULT)
  })

  const state = { isDraining: false }
  const registry = new Registry()
  const metrics = createMetrics(registry, {
    upstreamConnections: () => forward.connections(),
    webSockets: () => forward.webSockets(),
    isDraining: () => state.isDraining,
    isUnsafe: config.unsafeAllowAnyClient || config.unsafeAllowAnyIssuer,
    version,
    node: process.version,
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
    logger.debug({ detail }, 'no TLS handshake')
  })
  const probe = createProbe({
    ...upstream,
    ca: config.upstreamCa,
    timeoutMs: 1_000,
    now: clock.monotonicMs,
  })
  const admin = createAdmin({
    metrics: () => registry.metrics(),
    metricsContentType: registry.contentType,
    notReady: async () => {
      if (state.isDraining) return 'draining'
      if (!verification.isReady()) return 'the keys of the identity provider have not been read yet'
      return (await probe()) ? undefined : 'the application does not take connections'
    },
  })

  for (const warning of [...warnings, ...rules.flatMap(rule => warningAbout(rule) ?? [])]) {
    logger.warn(warning)
  }
  if (pair !== undefined) announce(logger, pair, 'certificate in use')
  try {
    const address = await listen(server, config.port, config.host)
    const adminAddress = await listen(admin, config.adminPort, config.adminHost)
    logger.info({ address, adminAddress, version, node: process.version }, 'listening')
  } catch (error) {
    logger.error({ err: error }, 'cannot listen')
    exit(EXIT_FAULT)
  }
  const { tlsCertFile: certificate, tlsKeyFile: key } = config
  if (filed !== undefined && certificate !== undefined && key !== undefined) {
    followFiles(server, { certificate, key }, filed, logger)
  }

  const onSignal = (signal: NodeJS.Signals) => {
    if (state.isDraining) {
      exit(EXIT_FAULT, 100)
      return
    }
    state.isDraining = true
    logger.info({ signal }, 'draining')
    void drain({
      ...{ server, closeIdle, closeAll, closeWebSockets: forward.closeWebSockets },
      ...{ delayMs: config.drainDelayMs, timeoutMs: config.drainTimeoutMs },
    }).then(inTime => {
      logger.info({ inTime }, 'drained')
      forward.close()
      exit(0)
    })
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

/** Says which certificate new connections are shown from now on. */
function announce(logger: Logger, pair: Pair, message: string): void {
  const { notBefore, notAfter, fingerprint256 } = pair
  logger.info({ notBefore, notAfter, fingerprint256 }, message)
  for (const warning of weaknessesOf(pair, clock.wallSeconds())) logger.warn(warning)
}

/** Shows new connections what the files hold once that is another good pair; on SIGHUP at once. */
function followFiles(server: Server, files: PairFiles, inUse: Pair, logger: Logger): void {
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
  process.on('SIGHUP', () => void reload())
}

/** Loaded here, so that who needs no certificate does not pay for making one. */
async function selfSigned(): Promise<Pair> {
  const { createSelfSigned } = await import('./tls/self-signed.ts')
  return createSelfSigned(clock.wallSeconds())
}

/**
 * Ends the process once its log has been written. While somebody holds the pipe without reading it,
 * a normal exit would wait for ever, in a thread that cannot be told to stop; then it is a kill.
 */
function exitAfter(destination: Destination, code: number, patienceMs: number): void {
  destination.flushSync = () => undefined
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), patienceMs)
  destination.flush(() => process.exit(code))
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

async function listen(server: Server, port: number, host: string) {
  server.listen(port, host)
  await once(server, 'listening')
  return server.address()
}
