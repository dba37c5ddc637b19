/**
 * What is allowed but unwise: a configuration that works, and that its operator should hear about.
 */
import type { Warning } from '../core/warning.ts'
import type { Config } from './config.ts'
import { isLoopback } from './readers.ts'

/** How long an ALB keeps an idle connection to its target unless it is told otherwise. */
export const ALB_IDLE_MS = 60_000

/** @returns The gravest first, as far as the settings themselves tell. */
export function weaknesses(config: Config): Warning[] {
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
