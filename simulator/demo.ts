/**
 * `npm run demo`: a load balancer, an identity provider, the sidecar and an application on one laptop.
 *
 * It prints where to sign in and what else to try, and runs until Ctrl-C; with `--once` it tries all
 * of it itself, as a visitor without a window, and exits 0 only if every answer was the right one. The
 * sidecar is the real program, wired by its environment.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startDemoApp } from './demo-app.ts'
import { type Row, type Stage, letExpire, signAliceIn, signOut } from './journey.ts'
import { ask, freePorts } from './loopback.ts'
import {
  EXPECTED_REJECTIONS,
  type Probe,
  curlLine,
  describeOutcome,
  probes,
  rejectionsIn,
} from './probes.ts'
import type { Rule } from './rules.ts'
import { startSidecar } from './sidecar.ts'
import { createSigner } from './signer.ts'
import { DEFAULT_ARN, startSimulator } from './simulator.ts'
import { USERS } from './users.ts'
import type { Visitor } from './visitor.ts'

const FOREIGN_ARN = DEFAULT_ARN.replace('111122223333', '999988887777')
const SIGN_OUT_PATH = '/.auth/sign-out'

/** The exclusions of ConsoleMe's own guide to running it behind a load balancer, and signing out. */
const RULES: readonly Rule[] = [
  '/noauth/v1/challenge_poller/*',
  '/noauth/v1/challenge_generator/*',
  '/api/v1/get_roles*',
  '/api/v2/mtls/roles/*',
  '/api/v1/get_credentials*',
  '/api/v1/myheaders/?',
  '/api/v2/get_resource_url*',
  SIGN_OUT_PATH,
  '/signed-out',
].map(pattern => ({ pattern, action: 'forward' }))

const HELP = `npm run demo -- [options]

  --once                     try everything, print what came of it, and end
  --access-token-seconds N   how long an access token is good for (default 3600)
  --session-seconds N        how long the load balancer keeps a session (default 7 days)
  --no-refresh               the identity provider gives no refresh tokens
`

const { values: flags } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    'access-token-seconds': { type: 'string', default: '3600' },
    'session-seconds': { type: 'string', default: String(7 * 24 * 60 * 60) },
    'no-refresh': { type: 'boolean', default: false },
  },
})

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const elapsed = (): string => `${(performance.now() / 1000).toFixed(1)} s`

/** Starts everything, from the outside in. Stopping goes the same way, as a drain would. */
async function startAll(wishes: readonly number[], onOutput: (text: string) => void) {
  const [albPort = 0, port = 0, appPort = 0, keyPort = 0, idpPort = 0, adminPort = 0] = wishes
  const simulator = await startSimulator({
    ...{ port: albPort, keyPort, idpPort, rules: RULES },
    // A slow machine is not what this is to show.
    providerTimeoutSeconds: 60,
    sessionTimeout: Number(flags['session-seconds']),
    idp: {
      accessTokenSeconds: Number(flags['access-token-seconds']),
      refreshTokens: !flags['no-refresh'],
    },
  })
  const { alb, keyServer, signer, oidc, signOutUrl = '' } = simulator
  const foreign = createSigner({ ...oidcNames(oidc), arn: FOREIGN_ARN })
  keyServer.publish(foreign)

  const running: { adminUrl?: string } = {}
  const app = await startDemoApp({
    ...{ port: appPort, adminUrl: () => running.adminUrl, signOutPath: SIGN_OUT_PATH },
  })
  const sidecar = await startSidecar({
    main: fileURLToPath(new URL('../../dist/main.js', import.meta.url)),
    port,
    adminPort,
    onOutput,
    settings: {
      UPSTREAM_URL: app.url,
      ALB_ARNS: signer.arn,
      ALB_CLIENT_IDS: signer.client,
      OIDC_ISSUER: signer.issuer,
      ALB_KEY_URL: simulator.keyUrl,
      ACCESS_TOKEN: 'required',
      GROUPS_CLAIM: 'groups',
      NOAUTH_PRESET: 'consoleme',
      NOAUTH_PATHS: '/signed-out',
      STRIP_COOKIES: 'consoleme_auth',
      SIGN_OUT_PATH,
      SIGN_OUT_REDIRECT_URL: signOutUrl,
      WHOAMI_PATH: '/.auth/whoami',
      // All clocks are this machine's.
      CLOCK_TOLERANCE: '0s',
      DRAIN_DELAY: '0s',
    },
  })
  running.adminUrl = sidecar.adminUrl
  alb.register(sidecar.url)
  return {
    ...{ simulator, alb, app, sidecar },
    stage: { simulator, reports: app.reports, signOutPath: SIGN_OUT_PATH } satisfies Stage,
    rowsFor: (visitor: Visitor) =>
      probes({
        ...{ alb: alb.url, sidecar: sidecar.url, signer, foreign, claims: USERS.alice.claims },
        session: visitor.cookieHeader(alb.url),
      }),
    /** @returns How the sidecar ended. */
    stop: async (): Promise<string> => {
      await alb.deregister(sidecar.url)
      const how = await sidecar.stop()
      await Promise.all([simulator.close(), app.close()])
      return how
    },
  }
}

const oidcNames = ({
  clientId,
  issuer,
}: {
  readonly clientId: string
  readonly issuer: string
}) => ({
  client: clientId,
  issuer,
})

type Demo = Awaited<ReturnType<typeof startAll>>

/** No answer at all is a wrong answer, not the end of the demonstration. */
const attempt: typeof ask = (...request) => ask(...request).catch(() => ({ status: 0, body: '' }))

/** Signs in, sends every probe, reads the metrics they must have left, lets expire, signs out, stops. */
async function tryAll({ app, sidecar, stage, rowsFor, stop }: Demo): Promise<readonly Row[]> {
  const { visitor, rows } = await signAliceIn(stage)
  const tried: Row[] = [...rows]
  for (const { what, base, path, headers, expected } of rowsFor(visitor)) {
    const seen = app.reports.length
    const { status } = await attempt(base, path, headers)
    tried.push({ what, expected, got: describeOutcome(status, app.reports[seen]) })
  }
  const metrics = (await attempt(sidecar.adminUrl, '/metrics')).body
  const counts = Object.entries(EXPECTED_REJECTIONS).map(([reason, count]) => ({
    expected: `${reason} ${count}`,
    got: `${reason} ${rejectionsIn(metrics, reason)}`,
  }))
  tried.push({
    what: 'rejections counted, by reason',
    expected: counts.map(count => count.expected).join(', '),
    got: counts.map(count => count.got).join(', '),
  })
  tried.push(...(await letExpire(stage)), ...(await signOut(stage, visitor)))
  tried.push({ what: 'the sidecar on SIGTERM', expected: 'exit 0', got: await stop() })
  return tried
}

function table(rows: readonly Row[]): string {
  const cells = rows.map(({ what, expected, got }) => [
    what,
    expected,
    got,
    got === expected ? 'ok' : 'NO',
  ])
  const lines = [['what', 'expected', 'got', 'ok'], ...cells]
  const widths = [0, 1, 2].map(i => Math.max(...lines.map(line => line[i]?.length ?? 0)))
  return lines
    .map(line => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | '))
    .join('\n')
}

/** Puts tokens and cookies where the printed lines find them; nobody wants to see them on screen. */
function storeValues(rows: readonly Probe[]): ReadonlyMap<string, string> {
  const folder = fileURLToPath(new URL('../tokens/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const values = new Set(rows.flatMap(row => row.headers.map(([, value]) => value)))
  const long = [...values].filter(value => value.length > 200)
  return new Map(
    long.map((value, i) => {
      const file = `${folder}value-${i + 1}.txt`
      writeFileSync(file, value)
      return [value, relative(process.cwd(), file)]
    }),
  )
}

function describe({ alb, app, sidecar, simulator }: Demo, rows: readonly Probe[]): string {
  const files = storeValues(rows)
  const lines = rows.map(row => `# ${row.what}\n#   -> ${row.expected}\n${curlLine(row, files)}\n`)
  return `
browser -> load balancer ${alb.url} -> sidecar ${sidecar.url} -> application ${app.url}
           identity provider ${simulator.oidc.issuer}

The load balancer signs who you are; the sidecar believes that signature and nothing else; the
application is told by X-Forwarded-User, -Email and -Groups, and shows you what it was told.

Open  ${alb.url}/   and sign in as alice or bob; the password is: password

${lines.join('\n')}
# what was refused so far, and why
curl -s ${sidecar.adminUrl}/metrics | grep 'rejections_total{' | grep -v ' 0$'

Ctrl-C stops everything. What follows is the sidecar's own log.
`
}

/** Until everything runs there is nothing to drain: `exit` kills what has been started. */
let whenAsked = (): void => process.exit(130)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    whenAsked()
  })
}

async function runOnce(): Promise<boolean> {
  const log: string[] = []
  const tried = await tryAll(await startAll([], text => log.push(text)))
  const right = tried.filter(({ expected, got }) => expected === got).length
  say(`${table(tried)}\n\n${right} of ${tried.length} as expected, in ${elapsed()}`)
  if (right < tried.length) say(`The sidecar wrote:\n${log.join('')}`)
  return right === tried.length
}

async function runUntilAsked(): Promise<boolean> {
  const ports = await freePorts([8000, 8080, 8081, 8082, 8083, 9090])
  const demo = await startAll(ports, text => process.stdout.write(text))
  const { visitor } = await signAliceIn(demo.stage)
  say(describe(demo, demo.rowsFor(visitor)))
  say(`Ready in ${elapsed()}.\n`)
  const asked = new Promise<string>(resolve => {
    whenAsked = () => {
      resolve('as asked')
    }
  })
  const cause = await Promise.race([asked, demo.sidecar.ended.then(() => 'the sidecar ended')])
  const how = await demo.stop()
  say(`\nStopped, ${cause}; the sidecar: ${how}.`)
  return how === 'exit 0'
}

try {
  if (flags.help) say(HELP)
  const run = flags.once ? runOnce : runUntilAsked
  const right = flags.help || (await run())
  process.exitCode = right ? 0 : 1
} catch (error) {
  if (!(error instanceof Error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
