/**
 * WebSockets through the built program between peers that know nothing of node: Debian's
 * python3-autobahn as client, as server, and as both.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { ALICE, startRig } from '../fixtures/sidecar.ts'
import { until } from '../fixtures/until.ts'

/** Debian's own, whatever else is called python3 here. */
function autobahn(...args: string[]) {
  const child = spawn('/usr/bin/python3', ['test/stages/websocket-peer.py', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  return { output: () => output, ended: once(child, 'close') }
}

/** Echoes, and knows who asks. */
async function startNodeServer(): Promise<number> {
  const http = createServer()
  const server = new WebSocketServer({ server: http, perMessageDeflate: true })
  server.on('connection', (socket, { headers }) => {
    socket.on('message', (data: Buffer, isBinary) => {
      const isQuestion = data.toString() === 'who am I'
      socket.send(isQuestion ? String(headers['x-forwarded-user']) : data, { binary: isBinary })
    })
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  t.teardown(() => {
    for (const client of server.clients) client.terminate()
    http.close()
  })
  return (http.address() as AddressInfo).port
}

const served = autobahn('serve')
await until(() => served.output().includes('\n'))
const applications = { autobahn: Number(served.output()), ws: await startNodeServer() }

for (const [what, port] of Object.entries(applications)) {
  t.test(`autobahn talks to ${what}, and neither notices`, async t => {
    const rig = await startRig(t, port)
    const { output, ended } = autobahn('talk', String(rig.port), rig.token(), ALICE.email)
    await ended
    t.equal(output(), 'ok\n')
    await until(async () => (await rig.metric('alb_auth_websockets')) === 0)
  })
}
