/**
 * `npm run bench`: what a request costs the sidecar, and what the same request costs the obvious way to
 * build one, in CPU time of the proxy's process. Throughput would measure the machine.
 *
 * The proxies take turns, A B A B …, and ratios are of turns next to each other: on a shared machine
 * nothing else can be compared. It fails when it cannot measure or an answer is wrong, not when a bar
 * is missed: it says so instead. `--quick` takes a minute or two, more on a busy machine; `--write` refreshes docs/benchmarks.md.
 */

import { writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startKeyServer } from '../simulator/key-server.ts'
import { createSigner } from '../simulator/signer.ts'
import { type Exchange, measure } from './load.ts'
import { type Process, canPin, pinOurselves, startProcess } from './processes.ts'

interface Case extends Exchange {
  readonly what: string
  /** Ours to theirs, at most. Absent where the bar is set against HAProxy, which is not measured yet. */
  readonly bar?: number
  readonly stretch?: number
}

interface Measured extends Case {
  /** Microseconds of CPU per request, a number a turn. */
  readonly ours: readonly number[]
  readonly theirs: readonly number[]
}

/**
 * Of each case at each proxy before the first round: compiling costs more than serving does, and what is
 * compiled is decided by how often it ran, which on a busy machine says nothing about how long.
 */
const WARM_UP_REQUESTS = 12_000
const QUICK = { rounds: 5, turnMs: 800 }
const FULL = { rounds: 9, turnMs: 2_500 }

const PROXY_CPU = 0
const OTHER_CPU = 1
/** For the whole run; whatever hangs, this ends it and its children. */
const GIVE_UP_MS = 600_000

/** Paths below it need no token, at the sidecar and at the baseline. */
const OPEN_PREFIX = '/open/'
const CLIENT = 'bench-client'
const ISSUER = 'https://idp.example.com'
const ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/bench/0123456789abcdef'
const EMAIL = 'alice@example.com'
/** Enough groups for a token of 1.5 KB. */
const CLAIMS = {
  sub: '6f1c2a34-0000-4000-8000-00000000a11c',
  email: EMAIL,
  email_verified: 'true',
  groups: Array.from({ length: 30 }, (_, i) => `engineering-team-${i + 10}`),
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** An hour ahead, so that a token outlives the run; the lifetime of one is no part of its cost. */
const inAnHour = () => Date.now() + 3_600_000
const identity = { arn: ARN, client: CLIENT, issuer: ISSUER, now: inAnHour }
const signer = createSigner(identity)
const forger = createSigner({ ...identity, kid: signer.kid })

const oidc = (token: string) => ({
  'x-amzn-oidc-accesstoken': 'o'.repeat(1_200),
  'x-amzn-oidc-identity': CLAIMS.sub,
  'x-amzn-oidc-data': token,
})

const TOKEN = signer.sign(CLAIMS)

const CASES: readonly Case[] = [
  {
    what: 'open path: forwarding without authentication',
    ...{ path: `${OPEN_PREFIX}status`, oidc: {}, status: 200, body: 'nobody' },
    bar: 0.6,
    stretch: 0.45,
  },
  {
    what: 'guarded path: the same valid token every time',
    ...{ path: '/api/v1/requests', oidc: oidc(TOKEN), status: 200, body: EMAIL },
  },
  {
    what: 'rejection: a forged token, real `kid`, bad signature',
    ...{ path: '/api/v1/requests', oidc: oidc(forger.sign(CLAIMS)), status: 401, body: '' },
  },
]

/** The processes, from the back to the front; both proxies are told the same. */
async function startAll() {
  const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const keyServer = await startKeyServer({ keys: [signer] })
  const upstream = await startProcess([file('peers.js'), 'upstream'], {}, OTHER_CPU)
  const env = {
    ...{ HOST: '127.0.0.1', PORT: '0', ADMIN_HOST: '127.0.0.1', ADMIN_PORT: '0' },
    UPSTREAM_URL: upstream.url,
    ALB_ARNS: ARN,
    ALB_CLIENT_IDS: CLIENT,
    OIDC_ISSUER: ISSUER,
    NOAUTH_PATHS: `${OPEN_PREFIX}*`,
    ALB_KEY_URL: `${keyServer.url}/{region}/{kid}`,
  }
  const key = { KID: signer.kid, PUBLIC_KEY: signer.publicKeyPem }
  const ours = await startProcess([file('../../dist/main.js')], env, PROXY_CPU)
  const theirs = await startProcess([file('peers.js'), 'baseline'], { ...env, ...key }, PROXY_CPU)
  const stop = async () => {
    await Promise.all([ours.stop(), theirs.stop(), upstream.stop(), keyServer.close()])
  }
  return { ours, theirs, stop }
}

/** Every case at both proxies, in turns. */
async function takeTurns(
  { ours, theirs }: { readonly ours: Process; readonly theirs: Process },
  { rounds, turnMs }: typeof FULL,
): Promise<readonly Measured[]> {
  const none: readonly number[] = []
  const measured = CASES.map(row => ({ ...row, ours: [...none], theirs: [...none] }))
  say('warming up')
  for (const row of measured) {
    for (const proxy of [ours, theirs]) {
      await measure(proxy, row, { forMs: 0, requests: WARM_UP_REQUESTS })
    }
  }
  for (let round = 1; round <= rounds; round++) {
    for (const row of measured) {
      row.ours.push(await measure(ours, row, { forMs: turnMs, requests: 0 }))
      row.theirs.push(await measure(theirs, row, { forMs: turnMs, requests: 0 }))
    }
    say(`round ${round} of ${rounds}`)
  }
  return measured
}

/** By linear interpolation between the two nearest; `q` from 0 to 1. */
function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = q * (sorted.length - 1)
  const [low = NaN, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  return low + (high - low) * (at % 1)
}

function spread(values: readonly number[], digits: number): readonly string[] {
  const [low, p25, median, high] = [0, 0.25, 0.5, 1].map(q => quantile(values, q).toFixed(digits))
  return [`**${median}**`, p25 ?? '', `${low}–${high}`]
}

function rowsOf({ what, bar, stretch, ours, theirs }: Measured): readonly (readonly string[])[] {
  const ratios = ours.map((micros, i) => micros / (theirs[i] ?? NaN))
  const limits = Object.entries({ bar, stretch }).flatMap(([name, limit]) =>
    limit === undefined
      ? []
      : `${name} ≤ ${limit.toFixed(2)}: ${quantile(ratios, 0.5) <= limit ? 'held' : 'MISSED'}`,
  )
  return [
    [what, 'sidecar, µs', ...spread(ours, 1), ''],
    ['', 'http-proxy, µs', ...spread(theirs, 1), ''],
    ['', 'ratio', ...spread(ratios, 2), limits.join('; ') || 'none against this peer'],
  ]
}

function table(measured: readonly Measured[]): string {
  const head = ['case', 'CPU per request', 'median', 'p25', 'lowest–highest', 'bar']
  const rows = [head, head.map(() => '---'), ...measured.flatMap(rowsOf)]
  return rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

const documentOf = (results: string, { rounds, turnMs }: typeof FULL): string => `# Benchmarks

Microseconds of CPU, user and system, that one request costs the process of the proxy. The machine is
shared: take the ratios, which are of turns next to each other, and not the absolute numbers.

${results}

| | |
| --- | --- |
| written by | \`${['npm run bench --', ...process.argv.slice(2)].join(' ')}\`, ${new Date().toISOString().slice(0, 10)} |
| machine | ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, Linux ${release()}, load average ${loadavg()[0]?.toFixed(1) ?? ''} |
| Node | ${process.version} |
| pinned | ${canPin ? `proxies to CPU ${PROXY_CPU}, load and application to CPU ${OTHER_CPU}` : 'nothing: no `taskset`, or no two CPUs'} |
| turns | ${rounds} rounds of ${turnMs / 1000} s a case and proxy, after ${WARM_UP_REQUESTS} requests to warm up |

Every answer was the right one, or there would be no table. The requests are a GET with the headers of
an ALB and two 2 KB shards of its session cookie; on the guarded path also the ALB's own three, with a
token of ${TOKEN.length} bytes. On the open path there is no token, as behind an ALB rule that only forwards:
where there is one, the sidecar verifies it there too. The application's answer is tiny.

The two do not do the same. The sidecar takes the session cookies and the access token out, counts what
it did, and logs a line for each rejection; http-proxy 1.18.1 (keep-alive agent, the token verified with
\`node:crypto\` in the handler) forwards everything and says nothing. The sidecar remembers
verified tokens, http-proxy does not. nginx, HAProxy and jose are not measured yet.
`

async function run(): Promise<void> {
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({ options: { quick: flag, write: flag } })
  if (process.platform !== 'linux') throw new Error('CPU time is read from /proc: Linux only')
  const plan = values.quick ? QUICK : FULL
  pinOurselves(OTHER_CPU)
  const { stop, ...proxies } = await startAll()
  const results = table(await takeTurns(proxies, plan))
  await stop()
  say(`\n${results}`)
  if (!values.write) return
  writeFileSync(new URL('../../docs/benchmarks.md', import.meta.url), documentOf(results, plan))
  say('\nwritten to docs/benchmarks.md')
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))
setTimeout(() => {
  process.stderr.write('the benchmark did not end in time\n')
  process.exit(1)
}, GIVE_UP_MS).unref()

try {
  await run()
} catch (error) {
  if (!(error instanceof Error)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
