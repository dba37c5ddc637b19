/**
 * Clients that take their time on purpose: Debian's slowhttptest with slow heads, slow bodies and slow
 * reading, while users go on asking.
 *
 * Slow bodies and slow readers on an open path hold a connection to the application each, as they would
 * without the sidecar. There are fewer of them here than UPSTREAM_CONNECTIONS; against more, nothing but
 * REQUEST_TIMEOUT and UPSTREAM_IDLE_TIMEOUT helps, which are off unless set.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { having, startUsers } from '../client.ts'
import { atMost, every, exactly, within, type FaultCase, type Figure } from '../figures.ts'
import { openFiles } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { OPEN, newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 10
const PAUSE_MS = 100
const HEADERS_TIMEOUT_SECONDS = 5
/** Between two looks at the connections, and as much again for the machine. */
const CHECK_SECONDS = 2

interface Attack {
  readonly what: string
  readonly connections: number
  readonly args: readonly string[]
  readonly path: string
}

const ATTACKS: readonly Attack[] = [
  { what: 'slow heads', connections: 500, args: ['-H', '-i', '2'], path: '/' },
  { what: 'slow bodies, guarded path', connections: 500, args: ['-B', '-i', '2'], path: '/' },
  { what: 'slow bodies, open path', connections: 200, args: ['-B', '-i', '2'], path: OPEN },
  {
    what: 'slow readers, open path',
    connections: 200,
    args: ['-X', '-n', '2', '-w', '512', '-y', '1024', '-z', '32', '-k', '1'],
    path: `${OPEN}?bytes=2000000`,
  },
]

async function slow(world: World): Promise<readonly Figure[]> {
  const seconds = world.isShort ? 8 : 60
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({
    ...settingsFor(keys, app.port),
    HEADERS_TIMEOUT: `${HEADERS_TIMEOUT_SECONDS}s`,
    ACCESS_LOG: 'off',
  })
  const headers = signedIn(signer)
  const files = openFiles(sidecar)
  const figures: Figure[] = []
  for (const { what, connections, args, path } of ATTACKS) {
    const users = startUsers(world, USERS, PAUSE_MS, () => ({ port: sidecar.port, headers }))
    const state = { most: 0 }
    const timer = setInterval(() => {
      state.most = Math.max(state.most, openFiles(sidecar) - files)
    }, 100)
    const [code] = await attack([
      ...args,
      ...['-c', String(connections), '-r', '200', '-l', String(seconds), '-p', '3'],
      ...['-u', `http://127.0.0.1:${sidecar.port}${path}`],
    ])
    clearInterval(timer)
    const outcomes = await users.stop()
    figures.push(
      every(`${what}: users served`, having(outcomes, 200), outcomes.length),
      exactly(`${what}: slowhttptest ran, at most ${state.most} files open; exit`, code, 0),
    )
  }
  const closed = await within(
    `an unfinished head is cut off after (HEADERS_TIMEOUT=${HEADERS_TIMEOUT_SECONDS}s)`,
    HEADERS_TIMEOUT_SECONDS + CHECK_SECONDS,
    () => patienceWith(sidecar.port),
  )
  await secondsUntil(() => openFiles(sidecar) <= files + USERS)
  return [
    ...figures,
    closed,
    atMost('files left open when all is over', Math.max(0, openFiles(sidecar) - files), USERS),
  ]
}

/** @throws When there is no slowhttptest. */
async function attack(args: readonly string[]): Promise<readonly [number]> {
  const child = spawn('slowhttptest', args, { stdio: 'ignore' })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  await once(child, 'exit').catch(() => {
    throw new Error('slowhttptest is not installed (Debian: apt-get install slowhttptest)')
  })
  process.off('exit', kill)
  return [child.exitCode ?? -1]
}

/** Sends a header line twice a second, for ever. @returns Seconds until the other side had enough. */
async function patienceWith(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  const state = { isOver: false }
  socket.on('error', () => undefined)
  socket.on('end', () => {
    state.isOver = true
  })
  socket.on('close', () => {
    state.isOver = true
  })
  socket.resume()
  socket.write('GET / HTTP/1.1\r\nHost: app.example.com\r\n')
  const timer = setInterval(() => socket.write('X-More: more\r\n'), 500)
  const seconds = await secondsUntil(() => state.isOver, { patienceMs: 30_000 })
  clearInterval(timer)
  socket.destroy()
  return seconds
}

export const SLOW: FaultCase = {
  name: 'slow',
  figure: 'R9',
  what: 'clients that are slow on purpose (slowhttptest)',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 600 },
  run: slow,
}
