/**
 * Settings that can each be read and still do not go together, and switches of node that undo what this
 * program promises. Every fault is a sentence that begins with the variable to change.
 */
import { fold } from '../core/headers.ts'
import { keyUrl } from '../tokens/alb-arn.ts'
import type { Config, Environment } from './config.ts'
import { isSafeServer } from './readers.ts'

/** Whether a fault names the variable already, or its file. */
export function isBlamed(variable: string, faults: readonly string[]): boolean {
  return faults.some(
    fault => fault.startsWith(`${variable} `) || fault.startsWith(`${variable}_FILE `),
  )
}

/**
 * Settings that do not go together.
 *
 * @param config What could be read; a setting with a fault of its own is `undefined` in it.
 * @param known Faults found so far: a variable that is named there is not blamed twice.
 */
export function contradictions(config: Partial<Config>, known: readonly string[]): string[] {
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
export function dangers(environment: Environment): string[] {
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
