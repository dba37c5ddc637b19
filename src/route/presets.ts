/**
 * Exemptions that applications are known to need, named by `NOAUTH_PRESET`.
 *
 * The first list of `consoleme` is, line for line, what its ALB guide tells the operator to exempt;
 * then what that guide means but an ALB pattern cannot say (`/?` is one character there, not an
 * optional slash), and the health check. The weep CLI's own commands need three more paths.
 *
 * @see ConsoleMe's guide "ALB Auth (Recommended)", the rules to exclude from authentication
 */
import type { Rule } from './routes.ts'

const CONSOLEME = [
  '/noauth/v1/challenge_poller/*',
  '/noauth/v1/challenge_generator/*',
  '/api/v1/get_roles*',
  '/api/v2/mtls/roles/*',
  '/api/v1/get_credentials*',
  '/api/v1/myheaders/?',
  '/api/v2/get_resource_url*',
  '/api/v1/myheaders',
  '/api/v1/myheaders/',
  '/healthcheck',
] as const

export const NOAUTH_PRESETS = {
  consoleme: CONSOLEME,
  'consoleme-weep': [
    ...CONSOLEME,
    '/api/v2/get_roles*',
    '/api/v1/policies/typeahead*',
    '/api/v2/audit/roles*',
  ],
} as const satisfies Record<string, readonly string[]>

export type NoauthPreset = keyof typeof NOAUTH_PRESETS

/** The rules of a preset; none without one. */
export function rulesOf(preset: NoauthPreset | undefined): readonly Rule[] {
  if (preset === undefined) return []
  return NOAUTH_PRESETS[preset].map(text => ({ text, methods: new Set(), pattern: text }))
}
