/**
 * A real browser, over HTTPS, through the simulated load balancer and the built sidecar to the
 * demonstration's application: what a person at a keyboard would see.
 *
 * `SCREENSHOTS` names a folder for pictures of it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { createCertificate } from '../../simulator/certificate.ts'
import { startDemoApp } from '../../simulator/demo-app.ts'
import { SIGN_OUT_PATH, startWorld, until } from './world.ts'

/** Open in the sidecar, not in the load balancer: one gets there by signing in, with any token. */
const LANDING = '/noauth/v1/challenge_poller/landing'
const API = '/api/v2/user_profile'
const PATIENCE_MS = 30_000

const app = await startDemoApp({ adminUrl: () => world.sidecar.adminUrl })
t.teardown(app.close)
const world = await startWorld(
  t,
  { UPSTREAM_URL: app.url, NOAUTH_PRESET: 'consoleme', NOAUTH_PATHS: '/signed-out' },
  {
    https: await createCertificate(),
    rules: [
      { pattern: '/signed-out', action: 'forward' },
      { pattern: SIGN_OUT_PATH, action: 'forward' },
      { pattern: '/denied/*', action: 'deny' },
    ],
  },
)
const { alb } = world
const idp = world.idp!

const folder = mkdtempSync(join(tmpdir(), 'browser-'))
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  // As root, in a container: neither a sandbox of its own nor a large /dev/shm.
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  env: { PATH: String(process.env['PATH']), HOME: folder, TMPDIR: folder },
  timeout: PATIENCE_MS,
})
t.teardown(async () => {
  await browser.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Somebody at a browser that knows nobody yet. */
async function newPage(t: Test, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
  const context = await browser.newContext({
    ...{ ignoreHTTPSErrors: true, colorScheme, viewport: { width: 1100, height: 900 } },
  })
  context.setDefaultTimeout(PATIENCE_MS)
  t.teardown(() => context.close())
  return context.newPage()
}

async function signIn(page: Page, name: string, path = '/', base = alb.url) {
  await page.goto(base + path)
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Password').fill('password')
  // By keyboard: the form is to be usable without a mouse.
  await page.keyboard.press('Enter')
  await page.waitForURL(base + path)
}

/** Status and body of a request that the page's script makes; `0` when it may not see the answer. */
const fetchIn = (page: Page, path: string) =>
  page.evaluate(async (url: string): Promise<[number, string]> => {
    const answer = await fetch(url).catch(() => undefined)
    return answer === undefined ? [0, ''] : [answer.status, await answer.text()]
  }, path)

async function takePicture(page: Page, name: string): Promise<void> {
  const { SCREENSHOTS } = process.env
  if (SCREENSHOTS !== undefined) {
    await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true })
  }
}

t.test('signing in, groups, forgery, counters, WebSocket', async t => {
  const page = await newPage(t)
  await page.goto(`${alb.url}/`)
  t.match(page.url(), `${idp.issuer}/interaction/`, 'asked by the identity provider')
  await takePicture(page, 'sign-in')
  await page.getByLabel('Name').fill('alice')
  await page.getByLabel('Password').fill('wrong')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').waitFor()
  await signIn(page, 'alice')

  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'alice@example.com')
  t.same(await page.locator('#groups li').allTextContents(), ['engineering', 'on-call'])
  const forged = page.locator('#forged')
  await forged.filter({ hasText: 'Nothing of the forgery arrived' }).waitFor()
  t.match(await forged.textContent(), 'The application saw alice@example.com')
  await page.locator('#counters tr').filter({ hasText: 'requests, authenticated' }).waitFor()
  await page.getByLabel('Say something').fill('good morning')
  await page.keyboard.press('Enter')
  const echo = page.locator('#echo').filter({ hasText: 'alice@example.com said: good morning' })
  await echo.waitFor()
  t.pass('a WebSocket, opened as alice, speaks')
  t.notMatch(await page.locator('main').textContent(), /AWSELB|AWSALB/, "no cookie of the ALB's")
  await takePicture(page, 'demo')
})

t.test('the page without a mouse, and in the dark', async t => {
  const page = await newPage(t, 'dark')
  await signIn(page, 'bob')
  await page.keyboard.press('Tab')
  t.equal(await page.locator(':focus').textContent(), 'Skip to content')
  const reached = new Set<string>()
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab')
    reached.add(String(await page.evaluate('document.activeElement?.id')))
  }
  for (const id of ['sign-out', 'forge', 'message'])
    t.ok(reached.has(id), `the keyboard gets to ${id}`)
  const named = ['banner', 'main', 'contentinfo'] as const
  for (const role of named) t.equal(await page.getByRole(role).count(), 1, role)
  for (const title of ['Your groups', 'A forged request', 'A WebSocket']) {
    t.equal(await page.getByRole('region', { name: title }).count(), 1, title)
  }
  await page.locator('#forged').filter({ hasText: 'Nothing of the forgery arrived' }).waitFor()
  await takePicture(page, 'demo-dark')
})

t.test('an expired access token: a script is told, a page signs in again', async t => {
  const page = await newPage(t)
  const kept = { ...idp.settings }
  Object.assign(idp.settings, { accessTokenSeconds: 1, refreshTokens: false })
  await signIn(page, 'bob', LANDING)
  Object.assign(idp.settings, kept)
  t.ok(await until(async () => (await fetchIn(page, API))[0] === 401), 'a script gets 401')
  const [, body] = await fetchIn(page, API)
  t.match(JSON.parse(body), { status: 401 }, 'and a problem document')

  const statuses: number[] = []
  page.on('response', answer => {
    if (answer.url() === `${alb.url}/`) statuses.push(answer.status())
  })
  await page.goto(`${alb.url}/`)
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'bob@example.com')
  t.same(statuses, [302, 302, 200], 'the sidecar to itself, the ALB to the provider, and there')
  t.equal((await fetchIn(page, API))[0], 200, 'and scripts are served again')
})

t.test('a script without a session', async t => {
  const page = await newPage(t)
  await page.goto(`${alb.url}/signed-out`)
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Nobody')
  t.same(await fetchIn(page, API), [0, ''], 'sent to the provider, which it may not read')
  t.equal((await fetchIn(page, '/denied/x'))[0], 401, 'where the rule denies')
})

t.test('signing out', async t => {
  const page = await newPage(t)
  await signIn(page, 'alice')
  await page.getByRole('link', { name: 'Sign out' }).click()
  await page.waitForURL(`${idp.issuer}/**`)
  await takePicture(page, 'sign-out')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL(`${alb.url}/signed-out`)
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Nobody')
  const cookies = await page.context().cookies(alb.url)
  t.same(
    cookies.filter(({ name }) => name.startsWith('AWSELB')),
    [],
    'no shard is left',
  )
  await page.goto(`${alb.url}/`)
  t.match(page.url(), idp.issuer, 'has to sign in')
  t.equal(await page.getByLabel('Password').count(), 1, 'with a password')
})

/** As in `npm run demo`: browsers take the sidecar's `Secure` cookies from loopback. */
t.test('signing out over HTTP on loopback', async t => {
  const page = await newPage(t)
  await signIn(page, 'alice', '/', alb.httpUrl)
  const shards = async () => {
    const cookies = await page.context().cookies(alb.httpUrl)
    return cookies.filter(({ name }) => name.startsWith('AWSELB')).length
  }
  t.equal(await shards(), 1)
  await page.getByRole('link', { name: 'Sign out' }).click()
  await page.waitForURL(`${idp.issuer}/**`)
  t.equal(await shards(), 0)
})

t.test('report mode', async t => {
  const report = await world.another({ ENFORCEMENT: 'report', ALB_CLIENT_IDS: 'another-client' })
  await alb.deregister(world.sidecar.url)
  alb.register(report.url)
  const page = await newPage(t)
  await signIn(page, 'alice')
  t.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Nobody', 'unnamed')
  t.match(
    await page.getByRole('region', { name: 'Identity headers' }).first().textContent(),
    'x-amzn-oidc-data',
  )
  const metrics = await fetch(`${report.adminUrl}/metrics`).then(answer => answer.text())
  t.match(metrics, /would_reject_total\{reason="client_mismatch",source="alb"\} [1-9]/, 'counted')
})
