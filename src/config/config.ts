/**
 * The environment -> one frozen, typed configuration, or every fault of it at once.
 */
import { readFileSync } from 'node:fs'
import { customCleanEnv, makeExactValidator, type ValidatorSpec } from 'envalid'
import { expected } from '../core/expected.ts'
import { fold } from '../core/headers.ts'
import type { Warning } from '../core/warning.ts'
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

/** Where to go from a list of faults. */
const ADVICE = 'every setting is explained in docs/configuration.md'

/** The configuration cannot be used; `faults` are sentences that begin with the variable. */
export class ConfigFault extends Error {
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    const lines = faults.map(fault => `  ${fault}`)
    super(['configuration is not usable:', ...lines, ADVICE].join('\n'))
    this.faults = faults
  }
}

/** What decided the value of a setting. `unset`: nothing did, and there is none. */
export type Origin =
  | { readonly by: 'variable' | 'file'; readonly name: string }
  | { readonly by: 'idp' | 'default' | 'unset' }

/** A setting as it is in force. */
export interface EffectiveSetting {
  readonly variable: string
  readonly origin: Origin
  /** As an operator would write it; may hold what must not be shown. */
  readonly text: string
}

export interface LoadedConfig {
  readonly config: Config
  /** What `TLS_CERT_FILE` and `TLS_KEY_FILE` hold; not in `config`, which may be shown. */
  readonly pair: Pair | undefined
  /** Every setting, in the order of the table. */
  readonly settings: readonly EffectiveSetting[]
  /** For the operator; none of them stops the start. */
  readonly warnings: readonly Warning[]
}

/** What was given for one setting, if anything was, and where. */
interface Found {
  readonly text: string | undefined
  readonly origin: Origin
}

/** How long an ALB keeps an idle connection to its target unless it is told otherwise. */
export const ALB_IDLE_MS = 60_000

const ROWS: readonly (readonly [key: string, row: Setting<Readable>])[] = Object.entries(SETTINGS)

/**
 * @param environment As the process got it; a setting may also be given as `<NAME>_FILE`.
 * @throws {ConfigFault} with everything that is wrong, not only the first thing.
 */
export function loadConfig(environment: Environment): LoadedConfig {
  const faults: string[] = []
  const found = ROWS.map(([key, row]) => ({ key, row, ...find(row, environment, faults) }))

  const specs: Record<string, ValidatorSpec<Readable>> = {}
  for (const [key, row] of ROWS) {
    const read = makeExactValidator<Readable>(row.read)
    if (row.required === true) specs[key] = read()
    else
      specs[key] = read({
        default: row.fallback === undefined ? undefined : row.read(row.fallback),
      })
  }
  const given = Object.fromEntries(found.map(({ key, text }) => [key, text]))
  const config = customCleanEnv(given, specs, cleaned => withIdp(asGiven(cleaned)), {
    reporter: ({ errors }) => {
      for (const [key, row] of ROWS) {
        const error = Object.hasOwn(errors, key) ? errors[key] : undefined
        if (error === undefined || isBlamed(row.variable, faults)) continue
        const missing = given[key] === undefined
        const why = missing ? `is required: ${row.meaning.replace(/\.$/, '')}` : error.message
        faults.push(`${row.variable} ${why}`)
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
    settings: found.map(each => effective(each, config)),
    warnings: [
      ...weaknesses(config),
      ...nearMisses(environment, variables).map(text => ({ severity: 'risk', text }) as const),
    ],
  }
}

/** Whether a fault names the variable already, or its file. */
function isBlamed(variable: string, faults: readonly string[]): boolean {
  return faults.some(
    fault => fault.startsWith(`${variable} `) || fault.startsWith(`${variable}_FILE `),
  )
}

/** What a setting comes to, when nothing or something was found for it. */
function effective(
  {
    key,
    row: { variable, fallback },
    text,
    origin,
  }: Found & { key: string; row: Setting<Readable> },
  config: Config,
): EffectiveSetting {
  if (text !== undefined) return { variable, origin, text }
  if (fallback !== undefined) return { variable, origin: { by: 'default' }, text: fallback }
  const byIdp = new Map<string, string | readonly string[]>(Object.entries(decidedByIdp(config)))
  const decided = byIdp.get(key)
  if (decided === undefined) return { variable, origin: { by: 'unset' }, text: '' }
  return { variable, origin: { by: 'idp' }, text: [decided].flat().join(',') }
}

/** The text of one setting, from the variable itself or from the file that `<NAME>_FILE` names. */
function find(
  { variable, emptyCounts }: Setting<Readable>,
  environment: Environment,
  faults: string[],
): Found {
  // An empty value is none at all, but where it turns a setting off.
  const valueOf = (name: string) => {
    const value = environment[name]
    return value === '' && emptyCounts !== true ? undefined : value
  }
  const names = [variable, ...(variable.endsWith('_PROXY') ? [variable.toLowerCase()] : [])]
  const name = names.find(each => valueOf(each) !== undefined) ?? variable
  const direct = valueOf(name)
  const fileName = `${variable}_FILE`
  const file = environment[fileName]
  if (file === undefined || file === '') {
    return { text: direct, origin: { by: 'variable', name } }
  }
  if (direct !== undefined) {
    faults.push(`${name} must not be set beside ${fileName}: drop one of them`)
  }
  const text = fileText(fileName, file, faults)
  const isNone = text === '' && emptyCounts !== true
  return { text: isNone ? undefined : text, origin: { by: 'file', name: fileName } }
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
    if (isBlamed(variable, known)) return
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

  const require = (variable: string, why: string) => {
    if (!isBlamed(variable, known)) faults.push(`${variable} is required: ${why}`)
  }
  const nowhere = config.albArns?.find(arn => keyUrl(arn, '', config.keyUrl) === undefined)
  if (nowhere !== undefined) {
    require('ALB_KEY_URL', `AWS documents no key endpoint for ${nowhere.partition}`)
  }

  const names = [config.userHeader, config.emailHeader, config.groupsHeader, config.clientIpHeader]
  const folded = names.map(name => fold(name ?? '')).filter(name => name !== '')
  const twice = folded.find((name, at) => folded.indexOf(name) !== at)
  if (twice !== undefined) {
    faults.push(
      `USER_HEADER, EMAIL_HEADER, GROUPS_HEADER and CLIENT_IP_HEADER must differ, found ${twice} twice`,
    )
  }
  if (config.accessToken !== undefined && config.accessToken !== 'ignore') {
    checkAccessToken(config, require)
  }
  if (config.signOutPath && config.signOutRedirectUrl === undefined) {
    require('SIGN_OUT_REDIRECT_URL', 'SIGN_OUT_PATH is set, and signing out must lead somewhere')
  }
  if (config.signOutPath && config.signOutPath === config.whoamiPath) {
    faults.push(`WHOAMI_PATH must not be the same as SIGN_OUT_PATH, found '${config.whoamiPath}'`)
  }
  if (config.upstreamCa !== undefined && config.upstream?.protocol === 'http:') {
    faults.push(
      'UPSTREAM_CA must not be set: UPSTREAM_URL is not an https URL, so no certificate is asked for',
    )
  }
  const { requestTimeoutMs = 0, headersTimeoutMs = 0 } = config
  if (requestTimeoutMs > 0 && requestTimeoutMs < headersTimeoutMs) {
    faults.push(
      `REQUEST_TIMEOUT must be 0 or at least HEADERS_TIMEOUT (${headersTimeoutMs}ms), found ${requestTimeoutMs}ms`,
    )
  }
  return [...faults, ...clashes(config)]
}

/** Addresses that take what is sent to 127.0.0.1, `undefined` for one with a fault of its own. */
const ON_LOOPBACK: ReadonlySet<string | undefined> = new Set(['127.0.0.1', 'localhost'])
const EVERYWHERE: ReadonlySet<string | undefined> = new Set(['0.0.0.0', '::'])

/** Ports that are meant for two at once: the second would not start, or the first ask itself. */
function clashes({ port, host, adminPort, adminHost, upstream }: Partial<Config>): string[] {
  const faults: string[] = []
  const isSameHost = host === adminHost || EVERYWHERE.has(host) || EVERYWHERE.has(adminHost)
  if (port && port === adminPort && isSameHost) {
    faults.push(`ADMIN_PORT must not be the same as PORT, found ${port} for both`)
  }
  if (upstream === undefined || !ON_LOOPBACK.has(upstream.host)) return faults
  for (const [variable, at, address] of [
    ['PORT', port, host],
    ['ADMIN_PORT', adminPort, adminHost],
  ] as const) {
    const isOurs = ON_LOOPBACK.has(address) || EVERYWHERE.has(address)
    if (upstream.socketPath === undefined && upstream.port === at && isOurs) {
      faults.push(
        `UPSTREAM_URL must not be where the sidecar itself listens, found ${variable} ${at}`,
      )
    }
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
  if (isBlamed('TLS_CERT_FILE', faults) || isBlamed('TLS_KEY_FILE', faults)) return undefined
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
function checkAccessToken(
  config: Partial<Config>,
  require: (variable: string, why: string) => void,
): void {
  const issuers = config.accessTokenIssuer ?? config.oidcIssuer ?? []
  const [only = '', ...more] = issuers
  const canDiscover = more.length === 0 && isSafeServer(only)
  if (issuers.length === 0 && config.unsafeAllowAnyIssuer === true) {
    require('ACCESS_TOKEN_ISSUER', 'ACCESS_TOKEN is verified')
  } else if (issuers.length > 0 && config.accessTokenJwksUrl === undefined && !canDiscover) {
    require('ACCESS_TOKEN_JWKS_URL', `discovery needs one https issuer, found ${issuers.join(', ')}`)
  }
  if (config.unsafeAllowAnyClient === true && config.accessTokenAudiences?.length === 0) {
    require('ACCESS_TOKEN_AUDIENCES', 'without ALB_CLIENT_IDS any client would do')
  }
}

/** Switches of node itself that undo what this program promises. */
function dangers(environment: Environment): string[] {
  const faults: string[] = []
  // Node takes an underscore for a dash.
  if (/--insecure[-_]http[-_]parser/.test(environment['NODE_OPTIONS'] ?? '')) {
    faults.push('NODE_OPTIONS must not hold --insecure-http-parser: it lets requests be smuggled')
  }
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    faults.push(
      'NODE_TLS_REJECT_UNAUTHORIZED must not be 0: keys could come from anybody; name the authority in NODE_EXTRA_CA_CERTS',
    )
  }
  return faults
}

function weaknesses(config: Config): Warning[] {
  const warnings: Warning[] = []
  const warn = (severity: Warning['severity'], text: string) => warnings.push({ severity, text })
  if (config.unsafeAllowAnyClient) {
    warn(
      'unsafe',
      'UNSAFE_ALLOW_ANY_CLIENT: tokens made for any client of the ALB are accepted; set ALB_CLIENT_IDS instead',
    )
  }
  if (config.unsafeAllowAnyIssuer) {
    warn(
      'unsafe',
      'UNSAFE_ALLOW_ANY_ISSUER: tokens with any issuer of the ALB are accepted; set OIDC_ISSUER instead',
    )
  }
  if (config.enforcement === 'report') {
    warn('unsafe', 'ENFORCEMENT=report: nothing is refused for its token')
  }
  const { upstream } = config
  if (upstream.socketPath === undefined && !isLoopback(upstream.host)) {
    warn(
      'risk',
      `UPSTREAM_URL is not on this machine (${upstream.host}): whoever reaches it directly is not checked`,
    )
  }
  if (config.keepAliveTimeoutMs <= ALB_IDLE_MS) {
    warn(
      'note',
      `KEEP_ALIVE_TIMEOUT is ${config.keepAliveTimeoutMs / 1_000}s, which does not exceed the ALB's default idle timeout of 60s: expect 502s`,
    )
  }
  if (config.keySeeds?.size === 0) {
    warn('note', 'ALB_KEYS_DIR holds no <kid>.pem file: every key has to be fetched')
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

/** The settings that the identity provider may have decided, as they are now. */
function decidedByIdp(config: Config): ByIdp {
  const { accessToken, accessTokenClientClaims, accessTokenSubjectClaim } = config
  const { userClaims, emailClaims, groupsClaims } = config
  return {
    ...{ accessToken, accessTokenClientClaims, accessTokenSubjectClaim },
    ...{ userClaims, emailClaims, groupsClaims },
  }
}
