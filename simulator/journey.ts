/**
 * What becomes of a session: signing in at the identity provider, an access token that expires beside
 * a session that does not, signing out. Walked by a visitor who keeps cookies, judged by where they
 * end up and whom the application takes them for.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { ALICE, NOBODY, describeOutcome } from './probes.ts'
import type { Report } from './report.ts'
import type { Simulator } from './simulator.ts'
import { USERS } from './users.ts'
import { type Page, type Visitor, asksPassword, createVisitor } from './visitor.ts'

export interface Row {
  readonly what: string
  readonly expected: string
  readonly got: string
}

export interface Stage {
  readonly simulator: Pick<Simulator, 'alb' | 'idp'>
  readonly reports: readonly Report[]
  readonly signOutPath: string
}

/** Longer than an access token of one second can take to expire anywhere. */
const EXPIRES_WITHIN_MS = 60_000
const POLL_MS = 100
const BOB = '200, seen as bob@example.com (sales)'
const ASKED = 'asked for a password'

export const CREDENTIALS = {
  alice: { name: 'alice', password: USERS.alice.password },
  bob: { name: 'bob', password: USERS.bob.password },
} as const

/** Signs alice in; the visitor is for later. */
export async function signAliceIn(
  stage: Stage,
): Promise<{ readonly visitor: Visitor; readonly rows: readonly Row[] }> {
  const visitor = createVisitor()
  const home = `${stage.simulator.alb.url}/`
  const asked = await visitor.visit(home)
  const got = await seen(stage, () => visitor.submit(asked, CREDENTIALS.alice))
  return {
    visitor,
    rows: [
      { what: 'a browser opens the page', expected: ASKED, got: describePage(asked) },
      { what: 'alice signs in', expected: ALICE, got },
    ],
  }
}

/** Bob's access token expires, and no refresh token keeps the session fresh. */
export async function letExpire(stage: Stage): Promise<readonly Row[]> {
  const { idp, alb } = stage.simulator
  if (idp === undefined) return []
  const home = `${alb.url}/`
  const visitor = createVisitor()
  const kept = { ...idp.settings }
  Object.assign(idp.settings, { accessTokenSeconds: 1, refreshTokens: false })
  await visitor.signIn(home, CREDENTIALS.bob, { stopBefore: home })
  Object.assign(idp.settings, kept)

  const cookie = visitor.cookieHeader(home)
  const deadline = Date.now() + EXPIRES_WITHIN_MS
  let page: Page
  do {
    await sleep(POLL_MS)
    page = await visitor.visit(home, { follow: false })
  } while (page.status === 200 && Date.now() < deadline)
  const script = await createVisitor().visit(`${alb.url}/api/v2/user_profile`, {
    headers: [
      ['Accept', 'application/json'],
      ['Cookie', cookie],
    ],
  })
  const again = await seen(stage, () =>
    visitor.visit(new URL(page.headers.location ?? '', home).href),
  )
  return [
    {
      what: "bob's access token has expired: a page",
      expected: '302 to itself',
      got: page.headers.location === '/' ? `${page.status} to itself` : String(page.status),
    },
    { what: '... a script', expected: '401', got: String(script.status) },
    { what: '... and bob is signed in again, unasked', expected: BOB, got: again },
  ]
}

/** Out of the load balancer and of the identity provider. */
export async function signOut(stage: Stage, visitor: Visitor): Promise<readonly Row[]> {
  const { url } = stage.simulator.alb
  const confirm = await visitor.visit(`${url}${stage.signOutPath}`)
  const got = await seen(stage, () => visitor.submit(confirm, { logout: 'yes' }))
  const after = await visitor.visit(`${url}/`)
  return [
    { what: 'alice signs out', expected: NOBODY, got },
    { what: '... and opens the page again', expected: ASKED, got: describePage(after) },
  ]
}

const describePage = (page: Page): string =>
  asksPassword(page) ? ASKED : `${page.status}, not asked for a password`

/** What came of a walk that ends at the application. */
async function seen({ reports }: Stage, walk: () => Promise<Page>): Promise<string> {
  const before = reports.length
  const { status } = await walk()
  return describeOutcome(status, reports.length > before ? reports.at(-1) : undefined)
}
