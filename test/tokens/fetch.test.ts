import { createServer as createHttpServer } from 'node:http'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { listen } from '../../simulator/loopback.ts'
import { createFetch, type ProxyOptions } from '../../src/tokens/fetch.ts'
import type { KeyObject } from 'node:crypto'
import { createBoundedFetch, type Fetched } from '../../src/tokens/bounded-fetch.ts'
import { PEM_KEY } from '../../src/tokens/pem-key.ts'
import { createClock } from '../fixtures/clock.ts'
import { givenTime, PATIENCE_MS } from '../fixtures/patience.ts'
import { CLOSED_PORT } from '../fixtures/raw.ts'
import { createSignerAt } from '../fixtures/token-signers.ts'

const HOST = 'public-keys.auth.elb.eu-central-1.amazonaws.com'
const KEY_URL = `https://${HOST}/c2f80c8b-c05c-4068-af14-17299f7896b1`

/** Asks for a key as the sidecar does. */
async function fetchedFrom(
  url: string,
  options: ProxyOptions,
  timeoutMs = PATIENCE_MS,
): Promise<Fetched<KeyObject>> {
  return createBoundedFetch(await createFetch(options), timeoutMs, PEM_KEY)(url)
}

/** What a forward proxy was asked for, and what it then saw of the tunnel. */
interface Seen {
  /** `CONNECT` targets. */
  readonly connects: string[]
  /** `Proxy-Authorization` of each of them. */
  readonly credentials: (string | undefined)[]
  /** Targets of requests to be forwarded without a tunnel. */
  readonly requests: string[]
  /** What came through the tunnels first. */
  readonly tunnelled: Buffer[]
}

/** A forward proxy that answers CONNECT with `status`, or not at all. */
async function startProxy(t: Test, status: number | 'never') {
  const seen: Seen = { connects: [], credentials: [], requests: [], tunnelled: [] }
  const sockets = new Set<Socket>()
  const server = createHttpServer((request, response) => {
    seen.requests.push(request.url ?? '')
    response.writeHead(500).end()
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  server.on('connect', (request, socket) => {
    seen.connects.push(request.url ?? '')
    seen.credentials.push(request.headers['proxy-authorization'])
    if (status === 'never') return
    socket.write(`HTTP/1.1 ${status} X\r\n\r\n`)
    if (status !== 200) socket.end()
    else {
      socket.once('data', (bytes: Buffer) => {
        seen.tunnelled.push(bytes)
        socket.destroy()
      })
    }
  })
  const url = await listen(server, 0)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url, seen }
}

/** Something on loopback that takes connections and keeps what it is sent first. */
async function startListener(t: Test) {
  const received: Buffer[] = []
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', bytes => {
      received.push(bytes)
      socket.destroy()
    })
  })
  const url = await listen(server, 0)
  t.teardown(() => server.close())
  return { url: url.replace('http:', 'https:'), port: new URL(url).port, received }
}

/** The first record of a TLS handshake. @see RFC 8446 §5.1 */
const isTls = (bytes: Buffer | undefined): boolean => bytes?.[0] === 22 && bytes[1] === 3

t.test("without a proxy it is the platform's own fetch that asks", async t => {
  t.equal(await createFetch({}), fetch)
  t.equal(await createFetch({ httpsProxy: undefined, noProxy: 'example.com' }), fetch)
  const signer = createSignerAt(createClock())
  const server = await startKeyServer({ keys: [signer] })
  t.teardown(server.close)
  t.match(await fetchedFrom(`${server.url}/${signer.kid}`, {}), { outcome: 'ok' })
})

t.test('with a proxy a key is asked for through a tunnel to the host that has it', async t => {
  const { url, seen } = await startProxy(t, 502)
  t.match(await fetchedFrom(KEY_URL, { httpsProxy: url }), { outcome: 'error', detail: /502/ })
  t.same(seen.connects, [`${HOST}:443`, `${HOST}:443`], 'twice, for it was a fault')
  t.same(seen.credentials, [undefined, undefined])
  t.same(seen.requests, [], 'nothing was to be read by the proxy')
})

t.test(
  'what goes through the tunnel is TLS with that host, which the proxy cannot read',
  async t => {
    const { url, seen } = await startProxy(t, 200)
    t.match(await fetchedFrom(KEY_URL, { httpsProxy: url }), { outcome: 'error' })
    const [hello] = seen.tunnelled
    t.ok(isTls(hello))
    t.ok(hello?.includes(HOST), 'for the host by name')
    t.notOk(hello?.includes('c2f80c8b'), 'and of the key not a word')
  },
)

t.test('a proxy that wants a name and a password gets those of its URL', async t => {
  const { url, seen } = await startProxy(t, 407)
  const httpsProxy = url.replace('//', '//sidecar:p%40ss@')
  t.match(await fetchedFrom(KEY_URL, { httpsProxy }), { outcome: 'error' })
  const basic = `Basic ${Buffer.from('sidecar:p@ss').toString('base64')}`
  t.same(seen.credentials, [basic, basic])
})

t.test('a proxy that does not answer is given up in time', async t => {
  let connects: readonly string[] = []
  await givenTime(200, async timeoutMs => {
    const { url, seen } = await startProxy(t, 'never')
    t.match(await fetchedFrom(KEY_URL, { httpsProxy: url }, timeoutMs), { outcome: 'timeout' })
    connects = seen.connects
    return connects.length > 0
  })
  t.same(connects, [`${HOST}:443`])
})

t.test('a proxy that is down is not gone around', async t => {
  const listener = await startListener(t)
  const httpsProxy = `http://127.0.0.1:${CLOSED_PORT}`
  t.match(await fetchedFrom(listener.url, { httpsProxy }), { outcome: 'error' })
  t.same(listener.received, [])
})

t.test('what NO_PROXY names is reached directly, and nothing else is', async t => {
  const listener = await startListener(t)
  const cases = [
    { noProxy: '127.0.0.1', isDirect: true },
    { noProxy: `127.0.0.1:${listener.port}`, isDirect: true },
    { noProxy: 'example.com,127.0.0.1', isDirect: true },
    { noProxy: ' example.com , 127.0.0.1 ', isDirect: true },
    { noProxy: '*', isDirect: true },
    { noProxy: undefined, isDirect: false },
    { noProxy: '', isDirect: false },
    { noProxy: ',', isDirect: false },
    { noProxy: 'example.com', isDirect: false },
    { noProxy: '127.0.0.1:1', isDirect: false },
    { noProxy: '127.0.0', isDirect: false },
    { noProxy: '0.0.1.example', isDirect: false },
  ]
  for (const { noProxy, isDirect } of cases) {
    listener.received.length = 0
    const { url, seen } = await startProxy(t, 502)
    const found = await fetchedFrom(listener.url, { httpsProxy: url, noProxy })
    t.match(found, { outcome: 'error' })
    const name = noProxy === undefined ? 'no NO_PROXY' : `NO_PROXY='${noProxy}'`
    t.equal(seen.connects.length, isDirect ? 0 : 2, `${name}: tunnels`)
    t.equal(listener.received.length, isDirect ? 2 : 0, `${name}: direct connections`)
    t.ok(listener.received.every(isTls))
  }
})

t.test('NO_PROXY means a domain and what is below it, in any case', async t => {
  // Nobody has this name, and no resolver is asked for one that has more than 63 letters in a row.
  const domain = `keys.${'x'.repeat(64)}`
  const cases = [
    { is: 'the domain', noProxy: domain, isDirect: true },
    { is: 'what it is in', noProxy: domain.slice(5), isDirect: true },
    { is: 'the host itself', noProxy: `eu.${domain}`, isDirect: true },
    { is: 'the domain after a dot', noProxy: `.${domain}`, isDirect: true },
    { is: 'the domain after a wildcard', noProxy: `*.${domain}`, isDirect: true },
    { is: 'the domain in capitals', noProxy: domain.toUpperCase(), isDirect: true },
    { is: 'the end of the domain', noProxy: domain.slice(1), isDirect: false },
    { is: 'another host of the domain', noProxy: `us.${domain}`, isDirect: false },
    { is: 'a domain that begins so', noProxy: `${domain}.example`, isDirect: false },
  ]
  await Promise.all(
    cases.map(async ({ is, noProxy, isDirect }) => {
      const { url, seen } = await startProxy(t, 502)
      await fetchedFrom(`https://eu.${domain}/kid`, { httpsProxy: url, noProxy })
      t.equal(seen.connects.length, isDirect ? 0 : 2, is)
    }),
  )
})

t.test('a key server on loopback, over http, is never asked through the proxy', async t => {
  const signer = createSignerAt(createClock())
  const server = await startKeyServer({ keys: [signer] })
  t.teardown(server.close)
  const { url, seen } = await startProxy(t, 502)
  for (const noProxy of [undefined, '', 'example.com']) {
    const found = await fetchedFrom(`${server.url}/${signer.kid}`, { httpsProxy: url, noProxy })
    t.match(found, { outcome: 'ok' })
  }
  t.same([...seen.connects, ...seen.requests], [])
  t.equal(server.requests.length, 3)
})

t.test('the environment says nothing that was not passed on', async t => {
  const signer = createSignerAt(createClock())
  const server = await startKeyServer({ keys: [signer] })
  t.teardown(server.close)
  const keyUrl = `${server.url}/${signer.kid}`
  const ours = await startProxy(t, 502)
  const theirs = await startProxy(t, 502)
  const proxies = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy']
  const said = [...proxies.map(name => [name, theirs.url]), ['NO_PROXY', '*'], ['no_proxy', '*']]
  t.intercept(process, 'env', { value: { ...process.env, ...Object.fromEntries(said) } })
  t.match(await fetchedFrom(keyUrl, {}), { outcome: 'ok' })
  t.match(await fetchedFrom(keyUrl, { httpsProxy: ours.url }), { outcome: 'ok' })
  t.match(await fetchedFrom(KEY_URL, { httpsProxy: ours.url }), { outcome: 'error' })
  t.equal(ours.seen.connects.length, 2)
  t.same([...theirs.seen.connects, ...theirs.seen.requests], [])
})
