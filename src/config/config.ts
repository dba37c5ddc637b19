/**
 * The environment -> one frozen, typed configuration, or every fault of it at once.
 */
import { readFileSync } from 'node:fs'
import { customCleanEnv, makeExactValidator, type ValidatorSpec } from 'envalid'
import { expected } from '../core/expected.ts'
import { fold } from '../core/headers.ts'
import { IDPS, type IdpDefaults } from '../identity/idp.ts'
import { readPair } from '../tls/pair-files.ts'
import type { Pair } from '../tls/pair.ts'
import { keyUrl } from '../tokens/alb-arn.ts'
import { nearMisses } from './near-miss.ts'
import { isLoopback, isSafeServer } from './readers.ts'
import { SETTINGS, type Readable, type Setting } from './settings.ts'

type Table = typeof SETTINGS
type Value<S> = S extends { readonly read: (text: string) => infer T }
  ? S extends { readonly fallback: string } | { readonly required: true }
    ? T
    : T | undefined
  : never

type Given = { readonly [Key in keyof Table]: Value<Table[Key]> }

/** What `IDP` decides where its own variable is not set, under the names that settings have here. */
interface ByIdp {
  readonly accessToken: IdpDefaults['accessToken']
  readonly accessTokenClientClaims: readonly string[]
  readonly accessTokenSubjectClaim: string
  readonly userClaims: readonly string[]
  readonly emailClaims: readonly string[]
  readonly groupsClaims: readonly string[]
}

/** What `SETTINGS` says, read, with the defaults of the identity provider filled in. */
export type Config = Omit<Given, keyof ByIdp> & ByIdp & { readonly requireTokenUse: boolean }

export type Environment = Readonly<Record<string, string | undefined>>

/** The configuration cannot be used; `faults` are sentences that begin with the variable. */
export class ConfigFault extends Error {
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(`configuration is not usable:\n${faults.map(fault => `  ${fault}`).join('\n')}`)
    this.faults = faults
  }
}

export interface LoadedConfig {
  readonly config: Config
  /** What `TLS_CERT_FILE` and `TLS_KEY_FILE` hold; not in `config`, which may be shown. */
  readonly pair: Pair | undefined
  /** Sentences for the operator that do not stop the start. */
  readonly warnings: readonly string[]
}

const ROWS: readonly (readonly [key: string, row: Setting<Readable>])[] = Object.entries(SETTINGS)

/**
 * @param environment As the process got it; a setting may also be given as `<NAME>_FILE`.
 * @throws {ConfigFault} with everything that is wrong, not only the first thing.
 */
export function loadConfig(environment: Environment): LoadedConfig {
  const faults: string[] = []
  const texts = new Map(ROWS.map(([, row]) => [row.variable, textOf(row, environment, faults)]))

  const specs: Record<string, ValidatorSpec<Readable>> = {}
  for (const [key, row] of ROWS) {
    const read = makeExactValidator<Readable>(row.read)
    if (row.required === true) specs[key] = read()
    else
      specs[key] = read({
        default: row.fallback === undefined ? undefined : row.read(row.fallback),
      })
  }
  const given = Object.fromEntries(ROWS.map(([key, row]) => [key, texts.get(row.variable)]))
  const config = customCleanEnv(given, specs, cleaned => withIdp(asGiven(cleaned)), {
    reporter: ({ errors }) => {
      for (const [key, row] of ROWS) {
        const error = Object.hasOwn(errors, key) ? errors[key] : undefined
        if (error === undefined) continue
        if (faults.some(fault => fault.startsWith(`${row.variable}_FILE `))) continue
        const missing = texts.get(row.variable) === undefined
        faults.push(`${row.variable} ${missing ? 'is required' : error.message}`)
      }
    },
  })
  faults.push(...contradictions(config, faults))
  faults.push(...dangers(environment))
  const pair = listenerPair(config, faults)
  if (faults.length > 0) throw new ConfigFault(faults)
  const variables = ROWS.map(([, row]) => row.variable)
  return {
    config: Object.freeze(config),
    pair,
    warnings: [...weaknesses(config), ...nearMisses(environment, variables)],
  }
}

/** The text of one setting, from the variable itself or from the file that `<NAME>_FILE` names. */
function textOf(
  { variable, emptyCounts }: Setting<Readable>,
  environment: Environment,
  faults: string[],
): string | undefined {
  const lower = variable.endsWith('_PROXY') ? environment[variable.toLowerCase()] : undefined
  const direct = environment[variable] ?? lower
  const file = environment[`${variable}_FILE`]
  let value = direct
  if (file !== undefined && file !== '') {
    if (direct !== undefined) faults.push(`${variable} must not be set beside ${variable}_FILE`)
    value = fileText(`${variable}_FILE`, file, faults)
  }
  return value === '' && emptyCounts !== true ? undefined : value
}

function fileText(variable: string, file: string, faults: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8').replace(/[\r\n]+$/, '')
  } catch (error) {
    faults.push(`${variable} cannot be read: ${expected(error, Error).message}`)
    return undefined
  }
}

/**
 * Settings that do not go together.
 *
 * @param config What could be read; a setting with a fault of its own is `undefined` in it.
 * @param known Faults found so far: a variable that is named there is not blamed twice.
 */
function contradictions(config: Partial<Config>, known: readonly string[]): string[] {
  const faults: string[] = []
  const optOut = (variable: string, members: unknown, unsafe: string, isUnsafe?: boolean) => {
    if (known.some(fault => fault.startsWith(variable))) return
    if (members === undefined && isUnsafe === false) {
      faults.push(`${variable} is required (or ${unsafe}=true, which leaves the check out)`)
    }
    if (members !== undefined && isUnsafe === true) {
      faults.push(`${unsafe} must not be true while ${variable} is set: drop one of them`)
    }
  }
  const { albClientIds, oidcIssuer, unsafeAllowAnyClient, unsafeAllowAnyIssuer } = config
  optOut('ALB_CLIENT_IDS', albClientIds, 'UNSAFE_ALLOW_ANY_CLIENT', unsafeAllowAnyClient)
  optOut('OIDC_ISSUER', oidcIssuer, 'UNSAFE_ALLOW_ANY_ISSUER', unsafeAllowAnyIssuer)

  const nowhere = config.albArns?.find(arn => keyUrl(arn, '', config.keyUrl) === undefined)
  if (nowhere !== undefined) {
    faults.push(`ALB_KEY_URL is required: AWS documents no key endpoint for ${nowhere.partition}`)
  }

  const names = [config.userHeader, config.emailHeader, config.groupsHeader, config.clientIpHeader]
  const folded = names.map(name => fold(name ?? '')).filter(name => name !== '')
  const twice = folded.find((name, at) => folded.indexOf(name) !== at)
  if (twice !== undefined) {
    faults.push(
      `USER_HEADER, EMAIL_HEADER, GROUPS_HEADER and CLIENT_IP_HEADER must differ: ${twice}`,
    )
  }
  if (config.accessToken !== undefined && config.accessToken !== 'ignore') {
    faults.push(...accessTokenFaults(config))
  }
  if (config.signOutPath && config.signOutRedirectUrl === undefined) {
    faults.push('SIGN_OUT_REDIRECT_URL is required: SIGN_OUT_PATH is set')
  }
  if (config.signOutPath && config.signOutPath === config.whoamiPath) {
    faults.push('WHOAMI_PATH must not be the same as SIGN_OUT_PATH')
  }
  if (config.upstreamCa !== undefined && config.upstream?.protocol === 'http:') {
    faults.push('UPSTREAM_CA must not be set: UPSTREAM_URL is not an https URL')
  }
  const { requestTimeoutMs = 0, headersTimeoutMs = 0 } = config
  if (requestTimeoutMs > 0 && requestTimeoutMs < headersTimeoutMs) {
    faults.push('REQUEST_TIMEOUT must be 0 or at least HEADERS_TIMEOUT')
  }
  return faults
}

/** The certificate and key that the listener is to use, if it is to use files. */
function listenerPair(config: Partial<Config>, faults: string[]): Pair | undefined {
  const { tlsCertFile, tlsKeyFile, tlsSelfSigned } = config
  if (tlsSelfSigned === true && (tlsCertFile ?? tlsKeyFile) !== undefined) {
    const variable = tlsCertFile === undefined ? 'TLS_KEY_FILE' : 'TLS_CERT_FILE'
    faults.push(`TLS_SELF_SIGNED must not be true while ${variable} is set: drop one of them`)
  }
  if (tlsCertFile === undefined && tlsKeyFile === undefined) return undefined
  if (tlsCertFile === undefined) faults.push('TLS_CERT_FILE is required: TLS_KEY_FILE is set')
  else if (tlsKeyFile === undefined) faults.push('TLS_KEY_FILE is required: TLS_CERT_FILE is set')
  else {
    const pair = readPair({ certificate: tlsCertFile, key: tlsKeyFile })
    if (!('faults' in pair)) return pair
    faults.push(...pair.faults)
  }
  return undefined
}

/** What verifying access tokens takes: keys to find, and a rule that says for whom a token was made. */
function accessTokenFaults(config: Partial<Config>): string[] {
  const faults: string[] = []
  const issuers = config.accessTokenIssuer ?? config.oidcIssuer ?? []
  const [only = '', ...more] = issuers
  const canDiscover = more.length === 0 && isSafeServer(only)
  if (issuers.length === 0 && config.unsafeAllowAnyIssuer === true) {
    faults.push('ACCESS_TOKEN_ISSUER is required: ACCESS_TOKEN is verified')
  } else if (issuers.length > 0 && config.accessTokenJwksUrl === undefined && !canDiscover) {
    faults.push('ACCESS_TOKEN_JWKS_URL is required: discovery needs one https issuer')
  }
  if (config.unsafeAllowAnyClient === true && config.accessTokenAudiences?.length === 0) {
    faults.push('ACCESS_TOKEN_AUDIENCES is required: without ALB_CLIENT_IDS any client would do')
  }
  return faults
}

/** Switches of node itself that undo what this program promises. */
function dangers(environment: Environment): string[] {
  const faults: string[] = []
  // Node takes an underscore for a dash.
  if (/--insecure[-_]http[-_]parser/.test(environment['NODE_OPTIONS'] ?? '')) {
    faults.push('NODE_OPTIONS must not hold --insecure-http-parser: it lets requests be smuggled')
  }
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    faults.push('NODE_TLS_REJECT_UNAUTHORIZED must not be 0: keys could come from anybody')
  }
  return faults
}

function weaknesses(config: Config): string[] {
  const warnings: string[] = []
  if (config.unsafeAllowAnyClient) {
    warnings.push('UNSAFE_ALLOW_ANY_CLIENT: tokens made for any client of the ALB are accepted')
  }
  if (config.unsafeAllowAnyIssuer) {
    warnings.push('UNSAFE_ALLOW_ANY_ISSUER: tokens with any issuer of the ALB are accepted')
  }
  if (config.enforcement === 'report') {
    warnings.push('ENFORCEMENT=report: nothing is refused for its token')
  }
  const { upstream } = config
  if (upstream.socketPath === undefined && !isLoopback(upstream.host)) {
    warnings.push(
      `UPSTREAM_URL is not on this machine (${upstream.host}): whoever reaches it directly is not checked`,
    )
  }
  if (config.keepAliveTimeoutMs <= 60_000) {
    warnings.push(
      "KEEP_ALIVE_TIMEOUT does not exceed the ALB's default idle timeout of 60s: expect 502s",
    )
  }
  return warnings
}

function asGiven(cleaned: unknown): Given {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-type-assertion -- each value came from its row's reader
  return cleaned as Given
}

/** Fills in what the identity provider decides. */
function withIdp(given: Given): Config {
  const row = IDPS[Object.hasOwn(IDPS, given.idp) ? given.idp : 'generic']
  return {
    ...given,
    accessToken: given.accessToken ?? row.accessToken,
    accessTokenClientClaims: given.accessTokenClientClaims ?? row.clientClaims,
    accessTokenSubjectClaim: given.accessTokenSubjectClaim ?? row.subjectClaim,
    userClaims: given.userClaims ?? row.userClaims,
    emailClaims: given.emailClaims ?? row.emailClaims,
    groupsClaims: given.groupsClaims ?? row.groupsClaims,
    requireTokenUse: row.requireTokenUse,
  }
}
