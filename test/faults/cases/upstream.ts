/**
 * The application is killed and started again, breaks its answers off, stalls, answers before it has
 * been asked in full, and resets connections that were kept for the next request.
 */
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { having, send, startUsers, tally, type Outcome } from '../client.ts'
import { every, exactly, median, told, within, type FaultCase, type Figure } from '../figures.ts'
import { lastingPort } from '../ports.ts'
import { end } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 20
const PAUSE_MS = 40
/** What users wait for at most: UPSTREAM_HEADERS_TIMEOUT, and a second. */
const HEADERS_TIMEOUT = 4
const PATIENCE_MS = (HEADERS_TIMEOUT + 1) * 1000

async function restarts(world: World): Promise<readonly Figure[]> {
  const rounds = world.isShort ? 3 : 20
  const port = await lastingPort()
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const state = { app: await world.application(port) }
  const sidecar = await world.sidecar({
    ...settingsFor(keys, port),
    UPSTREAM_HEADERS_TIMEOUT: `${HEADERS_TIMEOUT}s`,
    ACCESS_LOG: 'off',
  })
  const headers = signedIn(signer)
  const users = startUsers(world, USERS, PAUSE_MS, (user, turn) => ({
    ...{ port: sidecar.port, headers, patienceMs: PATIENCE_MS },
    path: turn % 3 === 0 ? '/?ms=30' : '/',
    ...(user % 4 === 0 && { method: 'POST', body: 'x'.repeat(2_000) }),
  }))
  const firstSuccess = async (): Promise<number> => {
    await sleep(500)
    await end(state.app)
    await sleep(1_000)
    state.app = await world.application(port)
    const [, at = ''] = /"at":(\d+)/.exec(state.app.output()) ?? []
    const listening = Number(at) - performance.timeOrigin
    const isServed = ({ status, endedAt }: Outcome) => status === 200 && endedAt >= listening
    await secondsUntil(() => users.outcomes.some(isServed), { pollMs: 5 })
    return ((users.outcomes.find(isServed)?.endedAt ?? Infinity) - listening) / 1000
  }
  const figures: Figure[] = []
  for (let round = 0; round < rounds; round++) {
    figures.push(await within('first success after the application listens', 1, firstSuccess))
  }
  await sleep(500)
  const outcomes = await users.stop()
  const refused = outcomes.filter(({ status }) => status !== 200)
  const inherited = refused.filter(({ headers }) => 'x-application' in headers)
  const missed = figures.find(({ held }) => !held)
  const times = figures.map(({ measured }) => Number.parseFloat(measured))
  return [
    every('answers that are 200, 502 or 503', having(outcomes, 200, 502, 503), outcomes.length),
    exactly('requests hung', having(outcomes, 'hung'), 0),
    exactly('answers broken off', having(outcomes, 'dropped'), 0),
    exactly('refusals with a header of the application', inherited.length, 0),
    missed ?? {
      ...{ what: `first success after the application listens, ${rounds} restarts` },
      ...{ measured: `${median(times).toFixed(2)} s`, bound: '≤ 1 s each', held: true },
    },
    told('answers', tally(outcomes)),
  ]
}

/** By when what has no time limit of its own is over, on a machine that has other things to do. */
const OVER_SECONDS = 10

const HEAD = 'HTTP/1.1 200 OK\r\n'
const LENGTH = 'Content-Length: 100000\r\n\r\n'
const PIECE = 'x'.repeat(20_000)

/** By path, what the application does once it has seen the head of a request. */
const MISBEHAVIOUR: Readonly<Record<string, (socket: Socket) => void>> = {
  '/ends': socket => socket.end(HEAD + LENGTH + PIECE),
  '/ends-chunked': socket =>
    socket.end(`${HEAD}Transfer-Encoding: chunked\r\n\r\n4e20\r\n${PIECE}\r\n`),
  '/resets': socket => {
    socket.write(HEAD + LENGTH + PIECE)
    setTimeout(() => {
      socket.resetAndDestroy()
    }, 30)
  },
  '/closes': socket => socket.end(),
  '/babbles': socket => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
  '/silent': () => undefined,
  '/stalls': socket => socket.write(HEAD + LENGTH + PIECE),
  '/early': socket =>
    socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge'),
}

type Settings = Readonly<Record<string, string>>

interface Misbehaving {
  readonly what: string
  readonly settings?: Settings
  readonly path: string
  readonly status: Outcome['status']
  readonly seconds?: number
  readonly upload?: number
  /** How it ends is told, and only that it ends is promised. */
  readonly isTold?: boolean
}

const ODD: readonly Misbehaving[] = [
  { what: 'ends an answer early', path: '/ends', status: 'dropped' },
  { what: 'ends a chunked answer early', path: '/ends-chunked', status: 'dropped' },
  { what: 'resets in an answer', path: '/resets', status: 'dropped' },
  { what: 'closes without an answer', path: '/closes', status: 502 },
  { what: 'speaks another protocol', path: '/babbles', status: 502 },
  {
    what: 'never answers (UPSTREAM_HEADERS_TIMEOUT=2s)',
    settings: { UPSTREAM_HEADERS_TIMEOUT: '2s' },
    ...{ path: '/silent', status: 504, seconds: 3 },
  },
  {
    what: 'stalls (UPSTREAM_IDLE_TIMEOUT=2s)',
    settings: { UPSTREAM_IDLE_TIMEOUT: '2s' },
    ...{ path: '/stalls', status: 'dropped', seconds: 3 },
  },
  { what: 'answers before 200 KB have arrived', path: '/early', status: 413, upload: 200_000 },
  {
    // Beyond 256 KB or a second, the connection is closed on what still comes, and a client that does
    // not read while it writes may lose the answer.
    what: 'answers before 8 MB have arrived',
    ...{ path: '/early', status: 413, upload: 8_000_000, isTold: true },
  },
]

async function odd(world: World): Promise<readonly Figure[]> {
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const port = await world.listen(createServer(misbehave))
  const start = (settings: Settings = {}) =>
    world.sidecar({ ...settingsFor(keys, port), ACCESS_LOG: 'off', ...settings })
  const patient = await start()
  const headers = signedIn(signer)
  const users = startUsers(world, 5, PAUSE_MS, () => ({ port: patient.port, headers }))
  const figures: Figure[] = []
  for (const { what, settings, path, status, seconds = OVER_SECONDS, upload = 0, isTold } of ODD) {
    const sidecar = settings === undefined ? patient : await start(settings)
    // Its first key, and its first code.
    await send({ port: sidecar.port, headers })
    const times = world.isShort ? 10 : 100
    const outcomes: Outcome[] = []
    const timed = await within(`application ${what}: over in`, seconds, async () => {
      const body = Buffer.alloc(upload, 'x')
      const all = await Promise.all(
        Array.from({ length: times }, () =>
          send({
            ...{ port: sidecar.port, headers, path, method: upload > 0 ? 'POST' : 'GET' },
            ...(upload > 0 && { body }),
          }),
        ),
      )
      outcomes.push(...all)
      return Math.max(...all.map(outcome => outcome.seconds))
    })
    figures.push(
      isTold === true
        ? told(`application ${what}`, tally(outcomes))
        : every(`application ${what}: ${status}`, having(outcomes, status), outcomes.length),
      timed,
    )
  }
  const others = await users.stop()
  return [...figures, every('other users served meanwhile', having(others, 200), others.length)]
}

/** Reads heads, which is all that is sent to it but for bodies that it does not want. */
function misbehave(socket: Socket): void {
  socket.on('error', () => undefined)
  let text = ''
  socket.on('data', chunk => {
    text = (text + chunk.toString('latin1')).slice(0, 10_000)
    const [, path] = /^(?:GET|POST) (\S+) HTTP[^]*?\r\n\r\n/.exec(text) ?? []
    if (path === undefined) return
    text = ''
    const act = MISBEHAVIOUR[path]
    if (act === undefined) {
      socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`)
      return
    }
    act(socket)
    socket.removeAllListeners('data').resume()
  })
}

/** When a connection that has been used is reset. */
const RESETS = {
  'while idle, after up to 50 ms': (socket: Socket) => {
    const timer = setTimeout(() => {
      if (!socket.destroyed) socket.resetAndDestroy()
    }, Math.random() * 50)
    socket.once('data', () => {
      clearTimeout(timer)
    })
  },
  'as the next request arrives, every second time': (socket: Socket) => {
    socket.once('data', () => {
      if (Math.random() < 0.5) socket.resetAndDestroy()
    })
  },
  'as the next request arrives, always': (socket: Socket) => {
    socket.once('data', () => socket.resetAndDestroy())
  },
} as const

async function resets(world: World): Promise<readonly Figure[]> {
  const forMs = world.isShort ? 3_000 : 30_000
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const headers = signedIn(signer)
  const figures: Figure[] = []
  for (const [when, arrange] of Object.entries(RESETS)) {
    const state = { resets: 0 }
    const server = createServer(socket => {
      let isDead = false
      socket.on('error', () => undefined)
      socket.once('close', () => {
        isDead = true
      })
      socket.on('data', () => {
        // The listener that resets was there first.
        setImmediate(() => {
          if (isDead || socket.destroyed) {
            state.resets++
            return
          }
          socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`)
          arrange(socket)
        })
      })
    })
    const port = await world.listen(server)
    const sidecar = await world.sidecar({ ...settingsFor(keys, port), ACCESS_LOG: 'off' })
    const methods = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']
    const users = startUsers(world, USERS, 10, (_user, turn) => ({
      ...{ port: sidecar.port, headers },
      method: methods[turn % methods.length] ?? 'GET',
    }))
    await sleep(forMs)
    const outcomes = await users.stop()
    figures.push(
      every(`idempotent requests served; reset ${when}`, having(outcomes, 200), outcomes.length),
    )
    await end(sidecar)
  }
  return figures
}

export const UPSTREAM_RESTARTS: FaultCase = {
  name: 'upstream-restarts',
  figure: 'R4',
  what: 'the application is killed and started again under load',
  lane: 'busy',
  limitSeconds: { short: 300, full: 600 },
  run: restarts,
}

export const UPSTREAM_ODD: FaultCase = {
  name: 'upstream-odd',
  figure: 'R4',
  what: 'the application breaks off, stalls, babbles or answers early',
  lane: 'busy',
  limitSeconds: { short: 300, full: 600 },
  run: odd,
}

export const UPSTREAM_RESETS: FaultCase = {
  name: 'upstream-resets',
  figure: 'R4, R13',
  what: 'the application resets connections that were kept for the next request',
  lane: 'busy',
  limitSeconds: { short: 300, full: 600 },
  run: resets,
}
