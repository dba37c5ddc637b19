/**
 * What the demonstration demonstrates: one row a request, and what must come of it.
 *
 * The same rows are printed as `curl` lines and, with `--once`, sent and judged; judged is the status
 * and what the application saw, never the words of a refusal.
 */

import type { HeaderList } from './loopback.ts'
import type { Report } from './report.ts'
import type { Signer, Fields } from './signer.ts'

export interface Probe {
  readonly what: string
  readonly base: string
  /** Sent as it stands. */
  readonly path: string
  readonly headers: HeaderList
  /** As {@link describeOutcome} says it. */
  readonly expected: string
}

export interface World {
  readonly alb: string
  readonly sidecar: string
  readonly signer: Signer
  /** Somebody else's load balancer in the same region; its key is published beside ours. */
  readonly foreign: Signer
  readonly claims: Fields
  /** The `Cookie` header of somebody who has signed in as alice. */
  readonly session: string
}

const PROFILE = '/api/v2/user_profile'
const OPEN = '/noauth/v1/challenge_poller/abc'
export const ALICE = '200, seen as alice@example.com (engineering,on-call)'
export const NOBODY = '200, seen as nobody'
const refused = (status: number): string => `${status}, not forwarded`

/** What `probes` must have left in the sidecar's `alb_auth_rejections_total`. */
export const EXPECTED_REJECTIONS = {
  token_missing: 2,
  signer_mismatch: 1,
  signature_invalid: 1,
  token_malformed: 1,
} as const

/** The rows, in the order in which to send them. */
export function probes(world: World): readonly Probe[] {
  const { alb, sidecar, signer, foreign, claims } = world
  const session = (more = '') => ['Cookie', world.session + more] as const
  const mallory = { ...claims, sub: 'mallory', email: 'mallory@example.com' }
  // Good for an hour, so that the lines can be copied at leisure: expiry is not what they show.
  const exp = Math.floor(Date.now() / 1000) + 3600
  const foreignToken = foreign.sign(mallory, { header: { exp }, payload: { exp } })
  const selfMade = foreign.sign(mallory, {
    header: { kid: signer.kid, signer: signer.arn, exp },
    payload: { exp },
  })
  const asMallory: HeaderList = [
    ['X-Forwarded-User', 'mallory'],
    ['X_Forwarded_User', 'mallory'],
  ]
  const everyForgery: HeaderList = [
    ['X-Amzn-Oidc-Data', foreignToken],
    ['X_Amzn_Oidc_Identity', 'mallory'],
    ...asMallory,
  ]
  const token = (value: string): HeaderList => [['X-Amzn-Oidc-Data', value]]
  const through = (what: string, headers: HeaderList, expected: string, path = PROFILE): Probe => ({
    what,
    base: alb,
    path,
    headers,
    expected,
  })
  const past = (what: string, headers: HeaderList): Probe => ({
    what: `straight to the sidecar: ${what}`,
    base: sidecar,
    path: PROFILE,
    headers,
    expected: refused(401),
  })
  return [
    through('not signed in: off to sign in', [], refused(302)),
    through('signed in', [session()], ALICE),
    past('no token', []),
    past('a token of another ALB (ALBeast)', token(foreignToken)),
    past('a self-made token, our ARN and kid', token(selfMade)),
    past('garbage', token('not.a.token')),
    through('signed in, claiming to be mallory', [session(), ...asMallory], ALICE),
    through("signed in, the app's own cookie forged", [session('; consoleme_auth=x')], ALICE),
    through('an open path, every forgery at once', everyForgery, NOBODY, OPEN),
    through(
      'out of an open path by dot segments',
      asMallory,
      refused(401),
      `${OPEN}/../../../..${PROFILE}`,
    ),
  ]
}

/** @param report What the application reported of this request; `undefined` when it never saw it. */
export function describeOutcome(status: number, report: Report | undefined): string {
  if (report === undefined) return refused(status)
  const { user, groups, arrived, cookies } = report
  const extras = [
    ...(user === null ? arrived.map(({ name }) => name) : []),
    ...cookies.map(name => `cookie ${name}`),
  ]
  const who = user === null ? 'nobody' : `${user} (${groups.join(',')})`
  return `${status}, seen as ${[who, ...extras].join(' + ')}`
}

/** The value of one reason, over all sources, on a metrics page. */
export const rejectionsIn = (metrics: string, reason: string): number =>
  metrics
    .split('\n')
    .filter(line => line.startsWith('alb_auth_rejections_total{'))
    .filter(line => line.includes(`reason="${reason}"`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)

/** @param files Where values too long for a line are kept, by value. */
export function curlLine(
  { base, path, headers }: Probe,
  files: ReadonlyMap<string, string>,
): string {
  const options = headers.map(([name, value]) => {
    const file = files.get(value)
    const text = file === undefined ? `'${value}'` : `"$(cat ${file})"`
    if (name === 'Cookie') return `-b ${text}`
    return file === undefined ? `-H '${name}: ${value}'` : `-H "${name}: $(cat ${file})"`
  })
  const asIs = path.includes('/../') ? ['--path-as-is'] : []
  return ['curl -si', ...asIs, ...options, `${base}${path}`].join(' ')
}
