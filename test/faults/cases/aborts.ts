/**
 * Clients that leave at every stage of a request, some with FIN and most with RST.
 *
 * Nothing of theirs may stay behind, at the application or in the queue in front of it.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../../../simulator/loopback.ts'
import { having, send } from '../client.ts'
import { every, exactly, within, type FaultCase, type Figure } from '../figures.ts'
import { metric, openFiles, type Program } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { OPEN, newSigner, settingsFor, type World } from '../world.ts'

const AT_ONCE = 64
/** UPSTREAM_CONNECTIONS unless set. */
const PLACES = 256
/** Room for what comes and goes by itself. */
const FILES_SLACK = 4

const HOST = 'Host: app.example.com\r\n'

/** Until when a client stays, and what it has sent by then. */
const LEAVERS: readonly { readonly sends: string; readonly waitsForData: boolean }[] = [
  { sends: `GET ${OPEN}?never HTTP/1.1\r\n${HOST}\r\n`, waitsForData: false },
  { sends: `GET ${OPEN}?bytes=50000000 HTTP/1.1\r\n${HOST}\r\n`, waitsForData: true },
  {
    sends: `POST ${OPEN} HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\n${'x'.repeat(50_000)}`,
    waitsForData: false,
  },
  { sends: `GET ${OPEN} HTTP/1.1\r\n${HOST}X-Half: a`, waitsForData: false },
  { sends: `GET ${OPEN}?ms=5 HTTP/1.1\r\n${HOST}\r\n`, waitsForData: false },
]

async function leave(port: number, number: number): Promise<void> {
  const { sends, waitsForData } = LEAVERS[number % LEAVERS.length] ?? {
    sends: '',
    waitsForData: false,
  }
  const socket = connect(port, '127.0.0.1')
  const closed = once(socket, 'close').catch(() => undefined)
  socket.on('error', () => undefined)
  socket.write(sends)
  if (waitsForData) await Promise.race([once(socket, 'data').catch(() => undefined), sleep(2_000)])
  else await sleep(Math.random() * 20)
  // Node cannot reset a connection that is not there yet.
  if (number % 7 === 0 || socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
  await closed
}

async function leaveAll(port: number, count: number): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < count) await leave(port, next++)
    }),
  )
}

interface OpenNow {
  readonly requests: number
  readonly connections: number
}

async function openAt({ port }: Program): Promise<OpenNow> {
  const { body } = await ask(`http://127.0.0.1:${port}`, `${OPEN}state`)
  const { requests, connections } = JSON.parse(body) as OpenNow
  return { requests, connections }
}

async function aborts(world: World): Promise<readonly Figure[]> {
  const count = world.isShort ? 3_000 : 20_000
  const keys = await world.keyServer([newSigner()])
  const app = await world.application()
  const sidecar = await world.sidecar({ ...settingsFor(keys, app.port), ACCESS_LOG: 'off' })
  await send({ port: sidecar.port, path: OPEN })
  await secondsUntil(async () => (await openAt(app)).connections === 0)
  const files = openFiles(sidecar)

  await leaveAll(sidecar.port, count)
  const freed = await within('requests open at the application are none after', 1, async () => {
    await leaveAll(sidecar.port, AT_ONCE * LEAVERS.length)
    return secondsUntil(async () => (await openAt(app)).requests === 0)
  })
  // Idle connections are kept for 1.5 s.
  await secondsUntil(async () => (await openAt(app)).connections === 0)
  await secondsUntil(async () => (await metric(sidecar, 'alb_auth_requests_in_flight')) === 0)
  await secondsUntil(() => openFiles(sidecar) <= files + FILES_SLACK)
  const left = await openAt(app)
  const inFlight = await metric(sidecar, 'alb_auth_requests_in_flight')
  const connections = await metric(sidecar, 'alb_auth_upstream_connections')
  const leaked = Math.max(0, openFiles(sidecar) - files - FILES_SLACK)

  const after = await Promise.all(
    Array.from({ length: PLACES }, () => send({ port: sidecar.port, path: `${OPEN}?ms=500` })),
  )
  return [
    freed,
    exactly(`connections to the application leaked by ${count} clients`, left.connections, 0),
    exactly('requests left at the application', left.requests, 0),
    exactly('upstream_connections', connections, 0),
    exactly('requests_in_flight', inFlight, 0),
    exactly(`files left open, beyond ${FILES_SLACK}`, leaked, 0),
    every(`then served, ${PLACES} at once`, having(after, 200), PLACES),
  ]
}

export const ABORTS: FaultCase = {
  name: 'aborts',
  figure: 'R7',
  what: 'clients leave before, during and after their requests',
  lane: 'busy',
  limitSeconds: { short: 300, full: 600 },
  run: aborts,
}
