/**
 * Connections that a load balancer has kept for its whole idle timeout of sixty seconds are used again.
 *
 * KEEP_ALIVE_TIMEOUT is what it is by default, 75 s, and the minute is a real one.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { exactly, every, type FaultCase, type Figure } from '../figures.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const IDLE_MS = 59_000
/** Over which the second requests are spread, so that some come at 61 s. */
const SPREAD_MS = 2_000
const PATIENCE_MS = 20_000

/** First requests at a time: fewer than the application takes connections. */
const AT_ONCE = 50

/** One request and its answer. @returns Whether a whole answer of 200 came. */
function exchange(socket: Socket, request: string): Promise<boolean> {
  return new Promise(resolve => {
    let text = ''
    const over = (isGood: boolean) => {
      clearTimeout(timer)
      socket.off('data', onData).off('close', onClose)
      resolve(isGood)
    }
    const timer = setTimeout(() => {
      over(false)
    }, PATIENCE_MS)
    const onClose = () => {
      over(false)
    }
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.endsWith('alice@example.com')) over(text.startsWith('HTTP/1.1 200 '))
    }
    if (socket.destroyed) {
      over(false)
      return
    }
    socket.on('data', onData).on('close', onClose)
    socket.write(request)
  })
}

async function reuse(world: World): Promise<readonly Figure[]> {
  const count = world.isShort ? 200 : 1_000
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({ ...settingsFor(keys, app.port), ACCESS_LOG: 'off' })
  const token = signedIn(signer)['X-Amzn-Oidc-Data']
  const request = `GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Amzn-Oidc-Data: ${token}\r\n\r\n`
  const state = { first: 0, second: 0 }
  const later: Promise<void>[] = []
  const again = async (socket: Socket, idleMs: number) => {
    await sleep(idleMs)
    if (await exchange(socket, request)) state.second++
  }
  const numbers = Array.from({ length: count }, (_, i) => i).values()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const i of numbers) {
        const socket = connect(sidecar.port, '127.0.0.1').on('error', () => undefined)
        world.onEnd(() => socket.destroy())
        if (await exchange(socket, request)) state.first++
        later.push(again(socket, IDLE_MS + (SPREAD_MS * i) / count))
      }
    }),
  )
  await Promise.all(later)
  return [
    every('first requests served', state.first, count),
    exactly('second requests reset, after 59 s to 61 s', count - state.second, 0, count),
  ]
}

export const KEEP_ALIVE: FaultCase = {
  name: 'keep-alive',
  figure: 'R13',
  what: 'connections are used again after a minute',
  lane: 'long',
  limitSeconds: { short: 300, full: 600 },
  run: reuse,
}
