/**
 * What stands in front while processes are replaced: takes connections for the newest target that its
 * health checks find ready, leaves those it has alone, and gives none to a target that is leaving.
 *
 * It knows nothing of HTTP. A connection that ends on one side ends on the other, after its last byte.
 */
import { connect, createServer } from 'node:net'
import { pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../../simulator/loopback.ts'
import type { Program } from './program.ts'
import { patience } from './waiting.ts'
import type { World } from './world.ts'

export interface Balancer {
  readonly port: number
  /** Health checks from now on. @returns When it is ready. */
  readonly register: (target: Program) => Promise<void>
  /** Connections that found no target. */
  readonly turnedAway: () => number
}

interface Entry {
  readonly target: Program
  isReady: boolean
}

const CHECK_MS = 100
const READY_MS = 30_000

export async function startBalancer(world: World): Promise<Balancer> {
  const targets: Entry[] = []
  const state = { turnedAway: 0, isOver: false }

  const isReady = ({ adminPort }: Program) =>
    ask(`http://127.0.0.1:${adminPort}`, '/readyz').then(
      ({ status }) => status === 200,
      () => false,
    )
  /** One check after the other; a target that has left does not come back. */
  const watch = async (entry: Entry) => {
    while (!state.isOver && entry.target.isRunning()) {
      const isReadyNow = await isReady(entry.target)
      if (entry.isReady && !isReadyNow) break
      entry.isReady = isReadyNow
      await sleep(CHECK_MS)
    }
    targets.splice(targets.indexOf(entry), 1)
  }
  world.onEnd(() => {
    state.isOver = true
  })

  const server = createServer({ allowHalfOpen: true }, client => {
    const found = targets.findLast(entry => entry.isReady)
    if (found === undefined) {
      state.turnedAway++
      client.destroy()
      return
    }
    const target = connect({ port: found.target.port, host: '127.0.0.1', allowHalfOpen: true })
    pipeline(client, target, () => undefined)
    pipeline(target, client, () => undefined)
  })
  return {
    port: await world.listen(server),
    register: async target => {
      const entry = { target, isReady: false }
      targets.push(entry)
      void watch(entry)
      const ready = await patience(READY_MS, () => entry.isReady || undefined)
      if (ready === undefined) throw new Error('a new process did not become ready')
    },
    turnedAway: () => state.turnedAway,
  }
}
