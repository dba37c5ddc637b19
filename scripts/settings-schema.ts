/**
 * The settings table as JSON Schema, for charts and templates: which variables there are, and as much
 * of what they take as their readers tell when they are given something that none of them takes.
 */
import { SETTINGS, type Readable, type Setting } from '../src/config/settings.ts'

/** As much of JSON Schema as is used here. */
export type Schema = Readonly<Record<string, unknown>>

const ROWS: readonly Setting<Readable>[] = Object.values(SETTINGS)

const DURATION = '^(0|[0-9]{1,12}(ms|s|m|h|d))$'

/** What a reader says of a text that no setting takes; `undefined` when it takes even that. */
function refusalOf({ read }: Setting<Readable>): string | undefined {
  try {
    read('\u0000')
    return undefined
  } catch (error) {
    if (error instanceof Error) return error.message
    throw error
  }
}

/** Whether a setting is read as members between commas, tried with a member that it takes. */
function isList({ read, fallback }: Setting<Readable>, example?: string): boolean {
  const member = example ?? (fallback?.split(',', 1)[0] || 'a')
  try {
    return Array.isArray(read(`${member},${member}`))
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

/** Lists whose members have a form of their own, with one that has it. */
const EXAMPLES: Readonly<Record<string, string>> = {
  ALB_ARNS:
    'arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/50dc6c495c0c9188',
  OIDC_ISSUER: 'https://idp.example.com',
  ACCESS_TOKEN_ISSUER: 'https://idp.example.com',
  NOAUTH_PATHS: '/a',
  STRIP_COOKIES: 'a',
}

function typeOf(row: Setting<Readable>): Schema {
  const refusal = refusalOf(row) ?? ''
  const [, choices] = /^must be one of ([^']+), found/.exec(refusal) ?? []
  const members = choices?.split(', ')
  const text = { type: 'string', ...(row.emptyCounts === true ? {} : { minLength: 1 }) }
  if (isList(row, EXAMPLES[row.variable] ?? members?.[0])) {
    const item = members === undefined ? { type: 'string', minLength: 1 } : { enum: members }
    const atLeast = row.emptyCounts === true ? {} : { minItems: 1 }
    return { anyOf: [text, { type: 'array', items: item, ...atLeast }] }
  }
  if (members?.join() === 'true,false') return { enum: [true, false, 'true', 'false'] }
  if (members !== undefined) return { enum: members }
  const [, min, max] = /^must be a whole number from (\d+) to (\d+)/.exec(refusal) ?? []
  if (min !== undefined) return { type: 'integer', minimum: Number(min), maximum: Number(max) }
  if (refusal.startsWith('must be a duration')) {
    return { anyOf: [{ type: 'string', pattern: DURATION }, { const: 0 }] }
  }
  if (row.fallback === '{}') {
    return { anyOf: [text, { type: 'object', additionalProperties: { type: 'string' } }] }
  }
  return text
}

/** Every variable, and every `<NAME>_FILE`, as a property; nothing else. */
export function settingsSchema(): Schema {
  const properties: Record<string, Schema> = {}
  for (const row of ROWS) {
    const { variable, meaning, fallback } = row
    const byDefault = fallback === undefined || fallback === '' ? {} : { default: fallback }
    properties[variable] = { description: meaning, ...typeOf(row), ...byDefault }
    properties[`${variable}_FILE`] = {
      ...{ description: `Path of a file that holds ${variable}.`, type: 'string', minLength: 1 },
    }
  }
  const required = ROWS.filter(row => row.required === true).map(({ variable }) => ({
    anyOf: [{ required: [variable] }, { required: [`${variable}_FILE`] }],
  }))
  return { type: 'object', additionalProperties: false, properties, allOf: required }
}

/** What holds where a variable is not set, as an operator would write it. */
export function settingsDefaults(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ROWS.flatMap(({ variable, fallback }) => (fallback ? [[variable, fallback]] : [])),
  )
}
