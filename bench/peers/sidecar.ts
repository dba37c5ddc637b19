/** Ours, as the image runs it, before a Cognito user pool: both tokens are required and verified. */

import { join } from 'node:path'
import { type Process, PROXY_CPU, freePort, launch, start } from '../processes.ts'
import { ARN, CLIENT, ISSUER } from '../tokens.ts'
import { type World, imageEnvironment, imageFlags, inRepository } from '../world.ts'

export interface Sidecar extends Process {
  readonly url: string
  readonly adminUrl: string
}

export interface SidecarOptions {
  /** In addition to what every sidecar here is told. */
  readonly settings?: Readonly<Record<string, string>>
  /** The Node to run it on; ours unless said. */
  readonly node?: string
  /** Where it runs; on the CPU of proxies unless said. */
  readonly cpu?: number | string
  /** Whether to wait until it listens. */
  readonly wait?: boolean
}

/** Fewer than the tokens of the cases that never repeat one in time: what they cycle through is never found. */
export const TOKEN_CACHE_SIZE = 500

let started = 0

export async function startSidecar(
  { directory, upstreamPort }: World,
  { settings = {}, node = process.execPath, cpu = PROXY_CPU, wait = true }: SidecarOptions = {},
): Promise<Sidecar> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const upstream = `http://127.0.0.1:${upstreamPort}`
  const env = {
    ...imageEnvironment(),
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', ADMIN_HOST: '127.0.0.1' },
    ...{ PORT: String(port), ADMIN_PORT: String(adminPort), UPSTREAM_URL: upstream },
    ...{ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER, IDP: 'cognito' },
    ALB_KEY_URL: `${upstream}/keys/{region}/{kid}`,
    ACCESS_TOKEN_JWKS_URL: `${upstream}/keys/jwks.json`,
    NOAUTH_PATHS: '/open/*',
    TOKEN_CACHE_SIZE: String(TOKEN_CACHE_SIZE),
    ...settings,
  }
  const args = [...imageFlags(), inRepository('dist/main.js')]
  const logFile = join(directory, `sidecar-${++started}.log`)
  const program = { command: node, args, env, cpu, logFile }
  const running = wait ? await start(program, port) : launch(program)
  return {
    ...running,
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
  }
}

/** What it counted of look-ups in its cache of verified tokens, `hit` and others, by token. */
export async function tokenLookups({ adminUrl }: Sidecar) {
  const page = await (await fetch(`${adminUrl}/metrics`)).text()
  const counted = new Map<string, number>()
  const line = /^alb_auth_token_cache_lookups_total\{([^}]*)\} (\d+)/gm
  for (const [, labels = '', count = '0'] of page.matchAll(line)) {
    const [, source = ''] = /source="([^"]*)"/.exec(labels) ?? []
    const kind = labels.includes('result="hit"') ? 'hit' : 'all'
    counted.set(`${source} all`, (counted.get(`${source} all`) ?? 0) + Number(count))
    if (kind === 'hit') counted.set(`${source} hit`, Number(count))
  }
  return counted
}
