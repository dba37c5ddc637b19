/**
 * Composition of the decision: configuration → the steps that decide about a request, each with the few
 * values it needs. The proxy and `explain` are given the same ones, so that they cannot disagree.
 */
import type { KeyObject } from 'node:crypto'
import type { Config } from './config/config.ts'
import type { Clock } from './core/clock.ts'
import { rememberedPer } from './core/remembered.ts'
import type { Telemetry } from './core/telemetry.ts'
import type { Rejected } from './core/verdict.ts'
import { createInject } from './headers/inject.ts'
import { createScrub } from './headers/scrub.ts'
import { createNormalize } from './identity/normalize.ts'
import type { Gate } from './pipeline.ts'
import { matches } from './route/pattern.ts'
import { rulesOf } from './route/presets.ts'
import { createRoutes, type Rule } from './route/routes.ts'
import { createAdmit } from './server/admit.ts'
import { MARKER_COOKIE, createSession } from './session/session.ts'
import {
  createAccessTokenVerifier,
  type Opaque,
  type VerifiedAccessToken,
} from './tokens/access-token.ts'
import { keyUrl, type AlbArn } from './tokens/alb-arn.ts'
import { createAlbKeys } from './tokens/alb-keys.ts'
import { createAlbVerifier, type KeyFault } from './tokens/alb-token.ts'
import { createBoundedFetch, type Fetch } from './tokens/bounded-fetch.ts'
import { createVerifyCredentials } from './tokens/credentials.ts'
import { createFetch } from './tokens/fetch.ts'
import {
  createJwks,
  DISCOVERY,
  KEY_SET,
  REFRESH_MS,
  type JwksOptions,
  type VerificationKey,
} from './tokens/jwks.ts'
import { PEM_KEY } from './tokens/pem-key.ts'
import { createVerifiedCache } from './tokens/verified-cache.ts'

/** What verified tokens of one kind may take in memory, in bytes, however many are allowed. */
const MAX_CACHE_BYTES = 33_554_432

/** Where keys come from when not from where the configuration says. */
export interface Keys {
  readonly alb: (arn: AlbArn, kid: string) => Promise<KeyObject | KeyFault>
  readonly accessToken: (kid: string) => VerificationKey | Promise<VerificationKey | KeyFault>
}

export interface GateOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** In place of those of the key endpoint and the identity provider, which are then never asked. */
  readonly keys?: Keys
}

export interface CreatedGate {
  readonly steps: Gate
  /** The access token alone, without a comparison with the ALB's, whatever `ACCESS_TOKEN` is. */
  readonly verifyAccessToken: (token: string) => Promise<VerifiedAccessToken | Opaque | Rejected>
  /** Begins to read the identity provider's keys, where they are needed. */
  readonly start: () => void
  /** Whether the keys that are required are there. */
  readonly isReady: () => boolean
}

/** The rules that open a path: those of `NOAUTH_PATHS`, then those of `NOAUTH_PRESET`. */
export function rulesIn(config: Pick<Config, 'noauthPaths' | 'noauthPreset'>): readonly Rule[] {
  return [...config.noauthPaths, ...rulesOf(config.noauthPreset)]
}

export async function createGate(config: Config, options: GateOptions): Promise<CreatedGate> {
  const { clock, telemetry } = options
  const fetch = await createFetch(config)
  const jwks = createJwks({ ...jwksSource(config, fetch), clock, telemetry })
  const verifyAccessToken = createAccessTokenVerifier({
    algorithms: config.accessTokenAlgorithms,
    issuers: accessTokenIssuers(config),
    audiences: config.accessTokenAudiences,
    clientClaims: config.accessTokenClientClaims,
    clients: config.albClientIds ?? 'any',
    requireTokenUse: config.requireTokenUse,
    subjectClaim: config.accessTokenSubjectClaim,
    toleranceSeconds: toleranceSeconds(config),
    clock,
    telemetry,
    findKey: options.keys?.accessToken ?? jwks.find,
  })
  const inject = createInject(config)
  return {
    steps: {
      admit: createAdmit(config),
      decideRoute: createRoutes(rulesIn(config)),
      scrub: createScrub({
        owned: inject.owned,
        listed: config.stripRequestHeaders,
        nonstandard: config.nonstandardHeaders,
        sessionCookie: config.albSessionCookie,
        ownCookies: [MARKER_COOKIE],
        guardedCookies: config.stripCookies,
      }),
      verify: createVerify(config, options, fetch, verifyAccessToken),
      // The same proof of the same token makes the same identity, and that the same headers.
      normalize: rememberedPer(
        createNormalize({
          ...config,
          keepsGroup: group =>
            config.groupsFilter.length === 0 ||
            config.groupsFilter.some(pattern => matches(pattern, group)),
        }),
      ),
      inject: { ...inject, assert: rememberedPer(inject.assert) },
      unauthenticated: config.unauthenticated,
      enforcement: config.enforcement,
      session: createSession({
        sessionCookie: config.albSessionCookie,
        signOutPath: config.signOutPath,
        signOutRedirectUrl: config.signOutRedirectUrl ?? '',
        whoamiPath: config.whoamiPath,
        renewsAccessToken: config.accessTokenExpired === 'reauthenticate',
      }),
    },
    verifyAccessToken,
    start: () => {
      if (config.accessToken !== 'ignore') void jwks.start()
    },
    isReady: () => config.accessToken !== 'required' || jwks.isLoaded(),
  }
}

/** Both tokens' verification, with the key store and caches behind it. */
function createVerify(
  config: Config,
  { clock, telemetry, keys }: GateOptions,
  fetch: Fetch,
  verifyAccessToken: CreatedGate['verifyAccessToken'],
): Gate['verify'] {
  const cache = {
    entries: config.tokenCacheSize,
    bytes: MAX_CACHE_BYTES,
    toleranceSeconds: toleranceSeconds(config),
    ...{ clock, telemetry },
  }
  const fetchKey = createBoundedFetch(fetch, config.keyFetchTimeoutMs, PEM_KEY)
  const stored = createAlbKeys({
    size: config.keyCacheSize,
    ttlMs: config.keyCacheTtlMs,
    staleMs: config.keyCacheStaleMs,
    negativeTtlMs: config.keyNegativeTtlMs,
    seeds: config.keySeeds ?? new Map(),
    urlOf: (arn, kid) => keyUrl(arn, kid, config.keyUrl),
    ...{ fetchKey, clock, telemetry },
  })
  return createVerifyCredentials({
    accessToken: config.accessToken,
    expiredAccessToken: config.accessTokenExpired,
    proven: createVerifiedCache({ source: 'alb', ...cache }),
    accessTokens: createVerifiedCache({ source: 'access_token', ...cache }),
    telemetry,
    verifyAlbToken: createAlbVerifier({
      arns: config.albArns,
      clients: config.albClientIds ?? 'any',
      issuers: config.oidcIssuer ?? 'any',
      toleranceSeconds: cache.toleranceSeconds,
      ...{ clock, telemetry, findKey: keys?.alb ?? stored },
    }),
    verifyAccessToken,
  })
}

/** Where the identity provider's keys are, and how they are asked for. */
export function jwksSource(config: Config, fetch: Fetch): Omit<JwksOptions, 'clock' | 'telemetry'> {
  const { keyFetchTimeoutMs, accessTokenJwksUrl: url } = config
  return {
    source: url ? { url } : { issuer: accessTokenIssuers(config)[0] ?? '' },
    refreshMs: REFRESH_MS,
    fetchSet: createBoundedFetch(fetch, keyFetchTimeoutMs, KEY_SET),
    fetchDiscovery: createBoundedFetch(fetch, keyFetchTimeoutMs, DISCOVERY),
  }
}

/** Accepted `iss` values of the access token. */
export function accessTokenIssuers(config: Config): readonly string[] {
  return config.accessTokenIssuer ?? config.oidcIssuer ?? []
}

function toleranceSeconds({ clockToleranceMs }: Config): number {
  return clockToleranceMs / 1000
}
