/**
 * WebSockets while their ends fail: the clients vanish, the application is killed, the sidecar leaves.
 *
 * Nothing of a tunnel may stay behind, and nobody may wait for an end that has gone.
 */
import { createHash, randomBytes } from 'node:crypto'
import { WebSocket } from 'ws'
import { every, exactly, within, type FaultCase, type Figure } from '../figures.ts'
import { lastingPort } from '../ports.ts'
import { end, metric, openFiles, type Program } from '../program.ts'
import { patience, secondsUntil } from '../waiting.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const BYTES = 200_000
const PATIENCE_MS = 60_000
/** Room for what comes and goes by itself. */
const FILES_SLACK = 4

interface Tunnel {
  readonly socket: WebSocket
  /** The code it was closed with; 1006 when nobody said one. */
  readonly code: () => number | undefined
}

type Open = (count: number) => Promise<readonly Tunnel[]>

/** Only those that got through. */
async function openTunnels(
  world: World,
  port: number,
  headers: Readonly<Record<string, string>>,
  count: number,
): Promise<readonly Tunnel[]> {
  const opened = Array.from({ length: count }, () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers, perMessageDeflate: false })
    world.onEnd(() => {
      socket.terminate()
    })
    const state: { code: number | undefined } = { code: undefined }
    socket.on('error', () => undefined)
    return new Promise<Tunnel | undefined>(resolve => {
      socket.on('close', code => {
        state.code = code
        resolve(undefined)
      })
      socket.on('open', () => {
        resolve({ socket, code: () => state.code })
      })
    })
  })
  return (await Promise.all(opened)).filter(tunnel => tunnel !== undefined)
}

/** Whether what comes back is, by its hash, what was sent. */
function echoes({ socket }: Tunnel): Promise<boolean> {
  const sent = randomBytes(BYTES)
  const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')
  return new Promise(resolve => {
    socket.once('message', (data: Buffer) => {
      resolve(hash(data) === hash(sent))
    })
    socket.once('close', () => {
      resolve(false)
    })
    socket.send(sent)
  })
}

async function countEchoes(tunnels: readonly Tunnel[]): Promise<number> {
  return (await Promise.all(tunnels.map(echoes))).filter(Boolean).length
}

const areClosed = (tunnels: readonly Tunnel[]) => tunnels.every(({ code }) => code() !== undefined)

const noneIsCounted = (sidecar: Program) => async () =>
  (await metric(sidecar, 'alb_auth_websockets')) === 0

/** The application is killed under tunnels of its own, then started again. */
async function killedApplication(world: World, port: number, open: Open, count: number) {
  const app = await world.application(port)
  const tunnels = await open(count)
  await end(app)
  return secondsUntil(() => tunnels.length === count && areClosed(tunnels))
}

async function tunnels(world: World): Promise<readonly Figure[]> {
  const count = world.isShort ? 100 : 400
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const port = await lastingPort()
  const sidecar = await world.sidecar({
    ...settingsFor(keys, port),
    DRAIN_DELAY: '1s',
    ACCESS_LOG: 'off',
  })
  const open: Open = many => openTunnels(world, sidecar.port, signedIn(signer), many)
  const figures: Figure[] = []

  const first = await world.application(port)
  // Whatever the first one makes the program open for good.
  for (const { socket } of await open(1)) socket.terminate()
  await patience(PATIENCE_MS, async () => ((await noneIsCounted(sidecar)()) ? true : undefined))
  const files = openFiles(sidecar)

  const opened = await open(count)
  figures.push(
    every('tunnels that opened', opened.length, count),
    every(`that gave back ${BYTES} random bytes as they were`, await countEchoes(opened), count),
    exactly('alb_auth_websockets meanwhile', await metric(sidecar, 'alb_auth_websockets'), count),
  )
  for (const { socket } of opened) socket.terminate()
  figures.push(
    await within('all counted out after their clients vanished', 1, async () => {
      for (const { socket } of await open(count)) socket.terminate()
      return secondsUntil(noneIsCounted(sidecar))
    }),
  )
  await end(first)
  figures.push(
    await within('clients told after the application was killed', 1, () =>
      killedApplication(world, port, open, count),
    ),
  )
  await patience(PATIENCE_MS, () => (openFiles(sidecar) <= files + FILES_SLACK ? true : undefined))
  const leaked = Math.max(0, openFiles(sidecar) - files - FILES_SLACK)
  figures.push(exactly(`files left open, beyond ${FILES_SLACK}`, leaked, 0))

  await world.application(port)
  const last = await open(count)
  sidecar.signal('SIGTERM')
  await patience(PATIENCE_MS, () => (areClosed(last) ? true : undefined))
  const told = last.filter(({ code }) => code() === 1001).length
  figures.push(
    every('clients told 1001 (going away) on SIGTERM', told, count),
    every('ended with exit 0', (await sidecar.ended) === 'exit 0' ? 1 : 0, 1),
  )
  return figures
}

export const TUNNELS: FaultCase = {
  name: 'tunnels',
  figure: 'R5',
  what: 'WebSockets whose client vanishes, whose application is killed, whose sidecar leaves',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 600 },
  run: tunnels,
}
