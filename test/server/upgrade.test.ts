import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Upgrade } from '../../src/core/upgrade.ts'
import { adopt, asksWebSocket, replay } from '../../src/server/upgrade.ts'
import { lines, openRaw, type RawConnection } from '../fixtures/raw.ts'
import { until } from '../fixtures/until.ts'

const ASK = ['GET / HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket']

interface Asked {
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

/** A server that lets go of every upgrade, and what it let go of when `bytes` were sent to it. */
async function askFor(t: Test, bytes: string): Promise<Asked & { readonly client: RawConnection }> {
  const server = http.createServer()
  const asked = once(server, 'upgrade')
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const client = openRaw(address.port)
  t.teardown(() => {
    client.reset()
    server.closeAllConnections()
    server.close()
  })
  client.write(bytes)
  const [request, socket, head] = (await asked) as [IncomingMessage, Socket, Buffer]
  t.teardown(() => socket.destroy())
  return { request, socket, head, client }
}

t.test(
  'only a bodyless GET of HTTP/1.1 that asks for nothing else asks for a WebSocket',
  async t => {
    const rows: readonly { what: string; change?: readonly [string, string?][]; is?: boolean }[] = [
      { what: 'as browsers do', is: true },
      {
        what: 'in other letters',
        change: [
          ['Upgrade', 'WebSocket'],
          ['Connection', 'uPGRADE'],
        ],
        is: true,
      },
      { what: 'among other options', change: [['Connection', 'keep-alive, Upgrade']], is: true },
      { what: 'another protocol', change: [['Upgrade', 'h2c']] },
      { what: 'one of two', change: [['Upgrade', 'h2c, websocket']] },
      { what: 'two lines', change: [['upgrade', 'websocket']] },
      { what: 'no Upgrade', change: [['Upgrade']] },
      { what: 'no Connection', change: [['Connection']] },
      { what: 'Connection says something else', change: [['Connection', 'close']] },
      { what: 'a body', change: [['Content-Length', '2']] },
      { what: 'an empty body', change: [['Content-Length', '0']] },
      { what: 'a chunked body', change: [['Transfer-Encoding', 'chunked']] },
    ]
    for (const { what, change = [], is = false } of rows) {
      const list = new Map([
        ['Connection', 'Upgrade'],
        ['Upgrade', 'websocket'],
      ])
      for (const [name, value] of change) {
        if (value === undefined) list.delete(name)
        else list.set(name, value)
      }
      const request = { method: 'GET', httpVersion: '1.1', rawHeaders: [...list].flat() }
      t.equal(asksWebSocket(request), is, what)
      const post = { ...request, method: 'POST' }
      t.equal(asksWebSocket(post), false, `${what}: POST`)
      const old = { ...request, httpVersion: '1.0' }
      t.equal(asksWebSocket(old), false, `${what}: HTTP/1.0`)
    }
  },
)

t.test('another upgrade is read again as the plain request that it also is', async t => {
  const head = ['PUT /a?b HTTP/1.1', 'Host: a', 'X-a: \xe9', 'Upgrade: h2c', 'x-A: 2']
  // The last three are no options, whatever a parser may make of them.
  const options = 'Connection: UPGRADE , X-A ,close upgrade,upgrade;a,\xa0'
  const framing = ['Connection: Upgrade', options, 'Transfer-Encoding: chunked']
  const body = '5\r\nhello\r\n0\r\n\r\n'
  const { request, socket, ...asked } = await askFor(t, lines(...head, ...framing) + body)
  let upgrades = 0
  const plain = http.createServer((request, response) => {
    let text = ''
    request.on('data', (piece: Buffer) => (text += piece.toString()))
    request.on('end', () => response.end(JSON.stringify([request.url, request.rawHeaders, text])))
  })
  plain.on('upgrade', () => upgrades++)
  replay(request, socket, asked.head, () => plain.emit('connection', socket))
  t.ok(await asked.client.until(/\]$/))
  t.match(asked.client.text(), /^HTTP\/1\.1 200 OK\r\n/)
  const seen: unknown = JSON.parse(/\[.*\]/.exec(asked.client.text())?.[0] ?? '')
  t.same(seen, [
    '/a?b',
    [
      ...['Host', 'a', 'X-a', Buffer.from('\xe9').toString('latin1')],
      ...['Upgrade', 'h2c', 'x-A', '2', 'Transfer-Encoding', 'chunked', 'Connection', 'x-a'],
    ],
    'hello',
  ])
  t.equal(upgrades, 0, 'and is not let go of again')
})

interface Adoption extends Asked {
  readonly client: RawConnection
  readonly response: ServerResponse
  readonly upgrade: Upgrade
  readonly closes: () => number
}

async function startAdoption(t: Test, early = ''): Promise<Adoption> {
  const asked = await askFor(t, lines(...ASK) + early)
  const { response, upgrade } = adopt(asked.request, asked.head)
  let closes = 0
  response.on('close', () => closes++)
  return { ...asked, response, upgrade, closes: () => closes }
}

t.test('whatever is answered ends the connection, however slowly it is read', async t => {
  const { response, client, closes } = await startAdoption(t, 'early')
  const body = Buffer.alloc(8_388_608, 'x')
  response.writeHead(403, 'No', ['Content-Length', String(body.length)])
  t.equal(response.write(body), false, 'there is more than goes at once')
  await once(response, 'drain')
  response.end()
  t.ok(await client.closed(30_000))
  const text = client.text()
  t.match(text.slice(0, 200), /^HTTP\/1\.1 403 No\r\n[^]*Connection: close\r\n/)
  t.equal(text.length - text.indexOf('\r\n\r\n') - 4, body.length)
  await until(() => closes() > 0)
  t.equal(closes(), 1)
})

t.test('what comes early is kept for the tunnel, in order', async t => {
  const { upgrade, response, client, socket } = await startAdoption(t, 'one ')
  client.write('two')
  await until(() => socket.bytesRead >= lines(...ASK).length + 7)
  const taken = upgrade.take()
  t.equal(taken.socket, socket)
  t.equal(taken.head.toString(), 'one two')
  t.ok(socket.isPaused())
  t.equal(response.socket, null, 'the response has let go of it')
  socket.on('data', piece => socket.write(`echo ${piece.toString()}`))
  socket.resume()
  client.write('three')
  t.ok(await client.until(/^echo three$/))
  client.end()
  await once(socket, 'end')
  t.equal(socket.writable, true, 'and half a close is not the end of it')
})

t.test('more than a little, before it is known who reads it, is refused', async t => {
  const { client, closes } = await startAdoption(t)
  client.write(Buffer.alloc(70_000))
  t.ok(await client.closed())
  await until(() => closes() === 1)
  t.equal(client.text(), '')
})

t.test('a client that leaves closes the response', async t => {
  for (const leave of ['end', 'reset'] as const) {
    const { client, closes, response } = await startAdoption(t)
    client[leave]()
    await until(() => closes() === 1)
    t.equal(response.destroyed, true, leave)
  }
})
