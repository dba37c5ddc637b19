/**
 * What `npm run simulator` is told, by flags and by one JSON file; a flag wins over the file. One
 * table says what there is; what is not in it, or of another kind, is refused with its name.
 */

import { parseArgs } from 'node:util'
import { ACTIONS, type Action, type Rule } from './rules.ts'

/** How a value is written: `texts` may be given more than once. */
type Kind = 'text' | 'texts' | 'number' | 'yes'

interface Row {
  readonly kind: Kind
  readonly meaning: string
}

const row = (kind: Kind, meaning: string): Row => ({ kind, meaning })

/** Flags; in the file under the same names, where `rules` and `users` stand besides. */
export const SETTINGS = {
  target: row('texts', 'base URL of an application or sidecar; repeat for more'),
  listen: row(
    'text',
    'address of load balancer and identity provider: 127.0.0.1 or 0.0.0.0 (127.0.0.1)',
  ),
  port: row('number', 'of the HTTP listener (8000; 0: any free one)'),
  'https-port': row('number', 'adds an HTTPS listener with a self-signed certificate'),
  forward: row('texts', 'path pattern that is forwarded without authentication'),
  allow: row('texts', 'path pattern where the unauthenticated are let through'),
  deny: row('texts', 'path pattern where the unauthenticated get 401'),
  authenticate: row('texts', 'path pattern where the unauthenticated are sent to sign in'),
  'default-action': row('text', `for every other path: ${ACTIONS.join(', ')} (authenticate)`),
  'normalize-paths': row('yes', 'rules see the path normalised'),
  arn: row('text', 'of the load balancer: what the token says in `signer`'),
  shape: row('text', 'generic or cognito: which claims stand where (generic)'),
  'token-seconds': row('number', 'how long a signed token is good for (120)'),
  'session-cookie': row('text', 'SessionCookieName (AWSELBAuthSessionCookie)'),
  'session-seconds': row('number', 'SessionTimeout (604800)'),
  'idle-seconds': row('number', 'idle time-out (60)'),
  'deregistration-seconds': row('number', 'deregistration delay (300)'),
  'health-path': row('text', 'turns health checks on'),
  'health-port': row('number', "of the health check (the target's)"),
  'health-seconds': row('number', 'between health checks (30)'),
  'key-port': row('number', 'of the key server (8082)'),
  'rotate-seconds': row('number', 'a new signing key every so many seconds (never)'),
  issuer: row('text', 'an identity provider of your own; its endpoints are discovered'),
  'client-id': row('text', 'of the load balancer at your identity provider'),
  'client-secret': row('text', 'the same'),
  scope: row('text', 'what is asked of your identity provider (openid)'),
  'idp-port': row('number', 'of the identity provider that is started without --issuer (8083)'),
  'access-token': row('text', 'jwt or opaque (jwt)'),
  'access-token-seconds': row('number', 'how long an access token is good for (3600)'),
  'no-refresh': row('yes', 'no refresh tokens'),
  'signed-out-path': row('text', 'where signing out leads back to (/signed-out)'),
  config: row('text', 'a JSON file with the same names'),
  help: row('yes', 'this'),
} as const satisfies Readonly<Record<string, Row>>

export type SettingName = keyof typeof SETTINGS

export interface UserSettings {
  readonly password: string
  readonly groups: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
}

export interface Settings {
  readonly text: (name: SettingName) => string | undefined
  readonly texts: (name: SettingName) => readonly string[]
  readonly number: (name: SettingName) => number | undefined
  readonly isOn: (name: SettingName) => boolean
  /** The file's, then the flags', in the order of the table. */
  readonly rules: readonly Rule[]
  readonly defaultAction: Action
  readonly users: Readonly<Record<string, UserSettings>> | undefined
}

/** Something is wrong with what the simulator was told. */
export class SettingsFault extends Error {
  override readonly name = 'SettingsFault'
}

export const HELP = `npm run simulator -- --target http://127.0.0.1:8080 [options]

${Object.entries(SETTINGS)
  .map(([name, { kind, meaning }]) => `  ${flagOf(name, kind).padEnd(28)} ${meaning}`)
  .join('\n')}

A file for --config: {"target": ["http://127.0.0.1:8080"], "rules": [{"pattern": "/open/*",
"action": "forward"}], "users": {"alice": {"password": "…", "groups": [], "claims": {"sub": "…"}}}}
`

function flagOf(name: string, kind: Kind): string {
  const values = { text: ' TEXT', texts: ' TEXT …', number: ' N', yes: '' }
  return `--${name}${values[kind]}`
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isSetting = (name: string): name is SettingName => Object.hasOwn(SETTINGS, name)

/**
 * @param readFile Reads the file that `--config` names.
 * @throws SettingsFault That says which setting, and what would have been right.
 */
export function readSettings(
  args: readonly string[],
  readFile: (path: string) => string,
): Settings {
  const flags = readFlags(args)
  const path = flags.get('config')
  const file = typeof path === 'string' ? parseFile(readFile(path), path) : {}
  const values = new Map<SettingName, unknown>()
  for (const [name, value] of [...Object.entries(file), ...flags]) {
    if (name === 'rules' || name === 'users') continue
    if (!isSetting(name)) throw new SettingsFault(`there is no setting ${name}`)
    values.set(name, checked(name, value))
  }

  const text = (name: SettingName) => {
    const value = values.get(name)
    return typeof value === 'string' ? value : undefined
  }
  const texts = (name: SettingName) => {
    const value = values.get(name)
    return Array.isArray(value) ? value.map(String) : []
  }
  const flagRules = ACTIONS.flatMap(action => texts(action).map(pattern => ({ pattern, action })))
  const defaultAction = text('default-action') ?? 'authenticate'
  if (!isAction(defaultAction)) {
    throw new SettingsFault(`default-action must be one of ${ACTIONS.join(', ')}`)
  }
  return {
    text,
    texts,
    number: name => {
      const value = values.get(name)
      return typeof value === 'number' ? value : undefined
    },
    isOn: name => values.get(name) === true,
    rules: [...rulesOf(file['rules']), ...flagRules],
    defaultAction,
    users: usersOf(file['users']),
  }
}

function readFlags(args: readonly string[]): Map<string, unknown> {
  const options = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, { kind }]) => [
      name,
      {
        type: kind === 'yes' ? ('boolean' as const) : ('string' as const),
        multiple: kind === 'texts',
      },
    ]),
  )
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true })
    return new Map(
      Object.entries(values).map(([name, value]) => [
        name,
        isSetting(name) && SETTINGS[name].kind === 'number' ? Number(value) : value,
      ]),
    )
  } catch (error) {
    // What parseArgs finds wrong with its arguments.
    if (error instanceof TypeError) throw new SettingsFault(error.message)
    throw error
  }
}

function parseFile(text: string, path: string): Readonly<Record<string, unknown>> {
  try {
    const file: unknown = JSON.parse(text)
    if (isObject(file)) return file
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new SettingsFault(`${path} must hold one JSON object`)
}

function checked(name: SettingName, value: unknown): unknown {
  const { kind } = SETTINGS[name]
  const isRight = {
    text: typeof value === 'string',
    texts: Array.isArray(value) && value.every(each => typeof each === 'string'),
    number: typeof value === 'number' && Number.isFinite(value) && value >= 0,
    yes: typeof value === 'boolean',
  }
  const kinds = {
    text: 'a text',
    texts: 'a list of texts',
    number: 'a number',
    yes: 'true or false',
  }
  if (isRight[kind]) return value
  throw new SettingsFault(`${name} must be ${kinds[kind]}`)
}

const isAction = (value: unknown): value is Action => ACTIONS.some(action => action === value)

function rulesOf(value: unknown): readonly Rule[] {
  if (value === undefined) return []
  const isRule = (each: unknown): each is Rule =>
    isObject(each) && typeof each['pattern'] === 'string' && isAction(each['action'])
  if (Array.isArray(value) && value.every(isRule)) return value
  throw new SettingsFault(
    `rules must be a list of {"pattern": "…", "action": "${ACTIONS.join(' | ')}"}`,
  )
}

function usersOf(value: unknown): Settings['users'] {
  if (value === undefined) return undefined
  const isUser = (each: unknown): each is UserSettings =>
    isObject(each) &&
    typeof each['password'] === 'string' &&
    Array.isArray(each['groups']) &&
    each['groups'].every(group => typeof group === 'string') &&
    isObject(each['claims']) &&
    typeof each['claims']['sub'] === 'string'
  const users: Record<string, UserSettings> = {}
  for (const [name, each] of Object.entries(isObject(value) ? value : { value })) {
    if (!isUser(each)) {
      throw new SettingsFault(
        `users must be {"name": {"password": "…", "groups": ["…"], "claims": {"sub": "…"}}}, and ${name} is not`,
      )
    }
    users[name] = each
  }
  return users
}
