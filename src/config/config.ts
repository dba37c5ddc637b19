/**
 * The environment -> one frozen, typed configuration, or every fault of it at once.
 */
import { readFileSync } from 'node:fs'
import { customCleanEnv, makeExactValidator, type ValidatorSpec } from 'envalid'
import { expected } from '../core/expected.ts'
import type { Warning } from '../core/warning.ts'
import { IDPS, type IdpDefaults } from '../identity/idp.ts'
import { readPair } from '../tls/pair-files.ts'
import type { Pair } from '../tls/pair.ts'
import { contradictions, dangers, isBlamed } from './contradictions.ts'
import { nearMisses } from './near-miss.ts'
import { SETTINGS, type Readable, type Setting } from './settings.ts'
import { weaknesses } from './weaknesses.ts'

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
