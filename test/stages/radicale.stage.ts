/**
 * Radicale, a calendar server that believes `X-Remote-User`, as Debian packages it: its WebDAV methods
 * through load balancer and sidecar, and a thief who would like to read somebody else's calendar.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { freePorts } from '../../simulator/loopback.ts'
import { createVisitor } from '../../simulator/visitor.ts'
import { runUntil } from './program.ts'
import { send, type SendOptions } from './send.ts'
import { startWorld, until } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'radicale-'))
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true })
})
const [port = 0] = await freePorts([0])
const radicale = `http://127.0.0.1:${port}`
writeFileSync(
  join(folder, 'config'),
  `[server]\nhosts = 127.0.0.1:${port}\n[auth]\ntype = http_x_remote_user\n[rights]\ntype = owner_only\n[storage]\nfilesystem_folder = ${folder}/collections\n[logging]\nlevel = info\n`,
)
const command = ['/usr/bin/python3', '-m', 'radicale', '--config', join(folder, 'config')] as const
await runUntil(t, [...command], {}, /ready/i)
await until(() =>
  send(radicale).then(
    () => true,
    () => false,
  ),
)

const world = await startWorld(t, {
  UPSTREAM_URL: radicale,
  USER_HEADER: 'X-Remote-User',
  FORWARD_OIDC_HEADERS: 'none',
})
const { alb } = world

async function signedIn(name: string) {
  const visitor = createVisitor()
  await visitor.signIn(`${alb.url}/.web/`, { name, password: 'password' })
  const cookie = visitor.cookieHeader(alb.url)
  return (path: string, { headers = [], ...options }: SendOptions = {}) =>
    send(alb.url + path, { ...options, headers: [['Cookie', cookie], ...headers] })
}

const HOME = '/alice@example.com/'
const CALENDAR = `${HOME}work/`
const event = (uid: string, summary: string) =>
  `BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:${uid}\r\nDTSTAMP:20261120T090000Z\r\nDTSTART:20261120T090000Z\r\nSUMMARY:${summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n`
const QUERY =
  '<?xml version="1.0"?><c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><d:prop><d:getetag/><c:calendar-data/></d:prop><c:filter><c:comp-filter name="VCALENDAR"/></c:filter></c:calendar-query>'
const XML = ['Content-Type', 'application/xml'] as const
const ICS = ['Content-Type', 'text/calendar'] as const
const EVERY_SPELLING = ['X-Remote-User', 'X_Remote_User', 'x-remote_user', 'X-REMOTE-USER']

t.test('a calendar, by its own methods', async t => {
  const alice = await signedIn('alice')
  const home = await alice(HOME, { method: 'PROPFIND', headers: [['Depth', '0']] })
  t.equal(home.status, 207, 'PROPFIND')
  t.match((await alice(HOME, { method: 'OPTIONS' })).headers['allow'], 'PROPFIND')
  t.equal((await alice(CALENDAR, { method: 'MKCALENDAR', body: '' })).status, 201, 'MKCALENDAR')
  const put = await alice(`${CALENDAR}a.ics`, {
    ...{ method: 'PUT', headers: [ICS], body: event('a', 'Grüße') },
  })
  t.equal(put.status, 201, 'PUT')
  const got = await alice(`${CALENDAR}a.ics`)
  t.match(got, { status: 200, body: 'SUMMARY:Grüße' }, 'GET')
  t.equal(got.headers.etag, put.headers.etag, 'with the ETag it was given')
  const stale = await alice(`${CALENDAR}a.ics`, {
    ...{ method: 'PUT', headers: [ICS, ['If-Match', '"stale"']], body: event('a', 'x') },
  })
  t.equal(stale.status, 412, 'a condition is passed on')
  const large = event('b', 'x'.repeat(1_000_000))
  const putLarge = { method: 'PUT', headers: [ICS], body: large }
  t.equal((await alice(`${CALENDAR}b.ics`, putLarge)).status, 201, 'a megabyte')
  const list = await alice(CALENDAR, { method: 'PROPFIND', headers: [['Depth', '1']] })
  t.match(list, { status: 207, body: /a\.ics[^]*b\.ics|b\.ics[^]*a\.ics/ }, 'PROPFIND, Depth: 1')
  const report = await alice(CALENDAR, { method: 'REPORT', headers: [XML], body: QUERY })
  t.match(report, { status: 207, body: 'SUMMARY:Grüße' }, 'REPORT')
  const body =
    '<?xml version="1.0"?><d:propertyupdate xmlns:d="DAV:"><d:set><d:prop><d:displayname>Work</d:displayname></d:prop></d:set></d:propertyupdate>'
  t.equal(
    (await alice(CALENDAR, { method: 'PROPPATCH', headers: [XML], body })).status,
    207,
    'PROPPATCH',
  )
  const moved = await alice(`${CALENDAR}a.ics`, {
    method: 'MOVE',
    headers: [['Destination', `${alb.url}${CALENDAR}c.ics`]],
  })
  t.equal(moved.status, 201, 'MOVE')
  t.equal((await alice(`${CALENDAR}a.ics`)).status, 404)
  t.equal((await alice(`${CALENDAR}c.ics`)).status, 200)
  t.equal((await alice(`${CALENDAR}c.ics`, { method: 'DELETE' })).status, 200, 'DELETE')
})

t.test("somebody else's calendar", async t => {
  const propfind = { method: 'PROPFIND', headers: [['Depth', '1']] } as const
  const bob = await signedIn('bob')
  t.equal((await bob('/bob@example.com/', propfind)).status, 207, 'his own')
  t.equal((await bob(CALENDAR, propfind)).status, 403, 'hers')
  for (const name of EVERY_SPELLING) {
    const headers = [...propfind.headers, [name, 'alice@example.com']] as const
    const straight = await send(radicale + CALENDAR, { ...propfind, headers })
    t.equal(straight.status, 207, `${name}: Radicale alone believes it`)
    t.equal(
      (await bob(CALENDAR, { ...propfind, headers })).status,
      403,
      `${name}: not through here`,
    )
    const past = await send(world.sidecar.url + CALENDAR, { ...propfind, headers })
    t.equal(past.status, 401, `${name}: nor past the load balancer`)
    const stranger = await send(alb.url + CALENDAR, { ...propfind, headers })
    t.equal(stranger.status, 302, `${name}: nor without a session`)
    const listed = [...propfind.headers, [name, 'alice@example.com'], ['Connection', name]] as const
    t.equal(
      (await bob(CALENDAR, { ...propfind, headers: listed })).status,
      403,
      `${name}: nor as hop-by-hop`,
    )
  }
  const get = await bob(`${CALENDAR}b.ics`, { headers: [['X-Http-Method-Override', 'DELETE']] })
  t.equal(get.status, 403)
})
