/**
 * `npm run simulator`: a load balancer in front of whatever you name, until Ctrl-C.
 *
 * It prints where to go, and what an application or a sidecar behind it has to know to verify its
 * tokens.
 */

import { readFileSync } from 'node:fs'
import { createCertificate } from './certificate.ts'
import type { Person } from './identity-provider.ts'
import { freePorts } from './loopback.ts'
import type { OidcSettings } from './oidc-client.ts'
import { HELP, type Settings, SettingsFault, isObject, readSettings } from './settings.ts'
import { type Simulator, startSimulator } from './simulator.ts'
import { USERS } from './users.ts'

const EXIT_CONFIG = 78
const DISCOVERY_TIMEOUT_MS = 10_000

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** From the provider's own description of itself. */
async function discover(settings: Settings, issuer: string): Promise<OidcSettings> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const signal = AbortSignal.timeout(DISCOVERY_TIMEOUT_MS)
  const found: unknown = await fetch(url, { signal }).then(answer => answer.json())
  const endpoints = new Map(isObject(found) ? Object.entries(found) : [])
  const read = (name: string): string => {
    const value = endpoints.get(name)
    if (typeof value === 'string') return value
    throw new SettingsFault(`${url} does not say its ${name}`)
  }
  const [clientId, clientSecret] = [settings.text('client-id'), settings.text('client-secret')]
  if (clientId === undefined || clientSecret === undefined) {
    throw new SettingsFault('an issuer needs client-id and client-secret')
  }
  return {
    issuer: read('issuer'),
    authorizationEndpoint: read('authorization_endpoint'),
    tokenEndpoint: read('token_endpoint'),
    userInfoEndpoint: read('userinfo_endpoint'),
    ...{ clientId, clientSecret, scope: settings.text('scope') ?? 'openid' },
  }
}

function oneOf<T extends string>(
  settings: Settings,
  name: 'shape' | 'access-token' | 'listen',
  all: readonly T[],
) {
  const value = settings.text(name)
  const found = all.find(each => each === value)
  if (value !== undefined && found === undefined) {
    throw new SettingsFault(`${name} must be one of ${all.join(', ')}`)
  }
  return found
}

const withSubject = (users: NonNullable<Settings['users']>): Record<string, Person> =>
  Object.fromEntries(
    Object.entries(users).map(([name, user]) => [
      name,
      { ...user, claims: { ...user.claims, sub: String(user.claims['sub']) } },
    ]),
  )

async function start(settings: Settings): Promise<Simulator> {
  const targets = settings.texts('target')
  if (targets.length === 0) throw new SettingsFault('there must be a --target; see --help')
  const unreadable = targets.find(target => !/^https?:\/\/[^/]+\/?$/.test(target))
  if (unreadable !== undefined) {
    throw new SettingsFault(
      `target must be http://host:port or https://host:port, not ${unreadable}`,
    )
  }
  const issuer = settings.text('issuer')
  const [port = 0, keyPort = 0, idpPort = 0] = await freePorts([
    settings.number('port') ?? 8000,
    settings.number('key-port') ?? 8082,
    settings.number('idp-port') ?? 8083,
  ])
  const healthPath = settings.text('health-path')
  const healthPort = settings.number('health-port')
  const httpsPort = settings.number('https-port')
  const optional = defined({
    oidc: issuer === undefined ? undefined : await discover(settings, issuer),
    https:
      httpsPort === undefined ? undefined : { ...(await createCertificate()), port: httpsPort },
    healthCheck:
      healthPath === undefined
        ? undefined
        : {
            path: healthPath,
            intervalMs: (settings.number('health-seconds') ?? 30) * 1000,
            ...(healthPort !== undefined && { port: healthPort }),
          },
    host: oneOf(settings, 'listen', ['127.0.0.1', '0.0.0.0']),
    users: settings.users && withSubject(settings.users),
    arn: settings.text('arn'),
    shape: oneOf(settings, 'shape', ['generic', 'cognito']),
    sessionCookie: settings.text('session-cookie'),
    sessionTimeout: settings.number('session-seconds'),
    tokenSeconds: settings.number('token-seconds'),
    idleTimeoutSeconds: settings.number('idle-seconds'),
    deregistrationDelaySeconds: settings.number('deregistration-seconds'),
    signedOutPath: settings.text('signed-out-path'),
  })
  return startSimulator({
    ...{ port, keyPort, idpPort, targets },
    ...{ rules: settings.rules, defaultAction: settings.defaultAction },
    normalizesPaths: settings.isOn('normalize-paths'),
    ...optional,
    idp: {
      accessToken: oneOf(settings, 'access-token', ['jwt', 'opaque']) ?? 'jwt',
      accessTokenSeconds: settings.number('access-token-seconds') ?? 3600,
      refreshTokens: !settings.isOn('no-refresh'),
    },
  })
}

/** Without the properties that are `undefined`. */
function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept: { [K in keyof T]?: Exclude<T[K], undefined> } = { ...object }
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) Reflect.deleteProperty(kept, name)
  }
  return kept
}

function describe({ alb, idp, signer, keyUrl, oidc, signOutUrl }: Simulator): string {
  const names = Object.keys(USERS).join(' or ')
  return `
Load balancer       ${alb.url}${alb.url === alb.httpUrl ? '' : `  and  ${alb.httpUrl}`}
Identity provider   ${oidc.issuer}${idp === undefined ? '' : `  (${names}, password "password", unless you named users)`}
Keys                ${keyUrl}

What stands behind it needs to know, as settings of alb-auth-sidecar:

ALB_ARNS=${signer.arn}
ALB_CLIENT_IDS=${signer.client}
OIDC_ISSUER=${signer.issuer}
ALB_KEY_URL=${keyUrl}${signOutUrl === undefined ? '' : `\nSIGN_OUT_REDIRECT_URL=${signOutUrl}`}

Ctrl-C stops it.`
}

try {
  const settings = readSettings(process.argv.slice(2), path => readFileSync(path, 'utf8'))
  if (settings.isOn('help')) say(HELP)
  else {
    const simulator = await start(settings)
    const rotateSeconds = settings.number('rotate-seconds')
    const rotate = () => {
      say(`signs with a new key from now on: ${simulator.alb.rotateKey().kid}`)
    }
    const timer =
      rotateSeconds === undefined ? undefined : setInterval(rotate, rotateSeconds * 1000)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        clearInterval(timer)
        void simulator.close()
      })
    }
    say(describe(simulator))
  }
} catch (error) {
  if (!(error instanceof Error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = error instanceof SettingsFault ? EXIT_CONFIG : 1
}
