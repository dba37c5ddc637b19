/**
 * `npm run demo`: a load balancer, the sidecar, an application and a key endpoint on one laptop.
 *
 * It prints what to try, and runs until Ctrl-C; with `--once` it tries all of it itself and exits 0
 * only if every answer was the right one. The sidecar is the real program, wired by its environment.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SIGN_IN_PATH, startAlb, type Rule } from './alb.ts'
import { startDemoApp } from './demo-app.ts'
import { startKeyServer } from './key-server.ts'
import { ask, freePorts } from './loopback.ts'
import {
  EXPECTED_REJECTIONS,
  type Probe,
  curlLine,
  describeOutcome,
  probes,
  rejectionsIn,
} from './probes.ts'
import { startSidecar } from './sidecar.ts'
import { createSigner } from './signer.ts'

const CLIENT = 'demo-client'
const ISSUER = 'https://idp.example.com'
const ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/demo/0123456789abcdef'
const FOREIGN_ARN = ARN.replace('111122223333', '999988887777')

const USERS = {
  alice: {
    sub: '6f1c2a34-0000-4000-8000-00000000a11c',
    email: 'alice@example.com',
    email_verified: 'true',
    groups: ['engineering', 'on-call'],
  },
  bob: {
    sub: '6f1c2a34-0000-4000-8000-000000000b0b',
    email: 'bob@example.com',
    email_verified: 'true',
    groups: ['sales'],
  },
} as const

/** The exclusions of ConsoleMe's own guide to running it behind a load balancer. */
const RULES: readonly Rule[] = [
  '/noauth/v1/challenge_poller/*',
  '/noauth/v1/challenge_generator/*',
  '/api/v1/get_roles*',
  '/api/v2/mtls/roles/*',
  '/api/v1/get_credentials*',
  '/api/v1/myheaders/?',
  '/api/v2/get_resource_url*',
].map(pattern => ({ pattern, action: 'forward' }))

interface Row {
  readonly what: string
  readonly expected: string
  readonly got: string
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const elapsed = (): string => `${(performance.now() / 1000).toFixed(1)} s`

/** Starts everything, from the back to the front. Stopping goes the other way, as a drain would. */
async function startAll(wishes: readonly number[], onOutput: (text: string) => void) {
  const [albPort = 0, port = 0, appPort = 0, keyPort = 0, adminPort = 0] = await freePorts(wishes)
  const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  const foreign = createSigner({ arn: FOREIGN_ARN, client: CLIENT, issuer: ISSUER })

  const keyServer = await startKeyServer({ port: keyPort, keys: [signer, foreign] })
  const app = await startDemoApp({ port: appPort })
  const sidecar = await startSidecar({
    main: fileURLToPath(new URL('../../dist/main.js', import.meta.url)),
    port,
    adminPort,
    onOutput,
    settings: {
      UPSTREAM_URL: app.url,
      ALB_ARNS: ARN,
      ALB_CLIENT_IDS: CLIENT,
      OIDC_ISSUER: ISSUER,
      ALB_KEY_URL: `${keyServer.url}/{region}/{kid}`,
      ACCESS_TOKEN: 'ignore',
      GROUPS_CLAIM: 'groups',
      NOAUTH_PRESET: 'consoleme',
      STRIP_COOKIES: 'consoleme_auth',
      DRAIN_DELAY: '0s',
    },
  })
  const alb = await startAlb({
    port: albPort,
    target: sidecar.url,
    signer,
    rules: RULES,
    users: USERS,
  })
  return {
    alb,
    app,
    sidecar,
    rows: probes({ alb: alb.url, sidecar: sidecar.url, signer, foreign, claims: USERS.alice }),
    /** @returns How the sidecar ended. */
    stop: async (): Promise<string> => {
      await alb.close()
      const how = await sidecar.stop()
      await Promise.all([app.close(), keyServer.close()])
      return how
    },
  }
}

type Demo = Awaited<ReturnType<typeof startAll>>

/** No answer at all is a wrong answer, not the end of the demonstration. */
const attempt: typeof ask = (...request) => ask(...request).catch(() => ({ status: 0, body: '' }))

/** Sends every probe, then reads the metrics they must have left, then stops the sidecar. */
async function tryAll({ app, sidecar, rows, stop }: Demo): Promise<readonly Row[]> {
  const tried: Row[] = []
  for (const { what, base, path, headers, expected } of rows) {
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

/** Puts the forged tokens where the printed lines find them; nobody wants to see them on screen. */
function storeTokens(rows: readonly Probe[]): ReadonlyMap<string, string> {
  const folder = fileURLToPath(new URL('../tokens/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const tokens = new Set(rows.flatMap(row => row.headers.map(([, value]) => value)))
  const long = [...tokens].filter(token => token.length > 200)
  return new Map(
    long.map((token, i) => {
      const file = `${folder}forged-${i + 1}.jwt`
      writeFileSync(file, token)
      return [token, relative(process.cwd(), file)]
    }),
  )
}

function describe({ alb, app, sidecar, rows }: Demo): string {
  const files = storeTokens(rows)
  const lines = rows.map(row => `# ${row.what}\n#   -> ${row.expected}\n${curlLine(row, files)}\n`)
  return `
browser -> load balancer ${alb.url} -> sidecar ${sidecar.url} -> application ${app.url}

The load balancer signs who you are; the sidecar believes that signature and nothing else; the
application is told by X-Forwarded-User, -Email and -Groups, and shows you what it was told.

Open  ${alb.url}/   and sign in as alice or bob; ${alb.url}${SIGN_IN_PATH} changes who you are.

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
  const tried = await tryAll(await startAll([0, 0, 0, 0, 0], text => log.push(text)))
  const right = tried.filter(({ expected, got }) => expected === got).length
  say(`${table(tried)}\n\n${right} of ${tried.length} as expected, in ${elapsed()}`)
  if (right < tried.length) say(`The sidecar wrote:\n${log.join('')}`)
  return right === tried.length
}

async function runUntilAsked(): Promise<boolean> {
  const demo = await startAll([8000, 8080, 8081, 8082, 9090], text => process.stdout.write(text))
  say(describe(demo))
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
  const right = await (process.argv.includes('--once') ? runOnce() : runUntilAsked())
  process.exitCode = right ? 0 : 1
} catch (error) {
  if (!(error instanceof Error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
