/**
 * Leaves without dropping anybody: stop being ready, go on serving until the load balancer has
 * noticed, stop listening, let the requests in flight finish and tell WebSockets to leave, and go.
 *
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#deregistration-delay
 */
import { Server } from 'node:net'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { FrontServer } from './server.ts'

export interface DrainOptions extends Pick<FrontServer, 'closeIdle' | 'closeAll'> {
  readonly server: Server
  /** Tells WebSockets to come back elsewhere; called once nothing new can arrive. */
  readonly closeWebSockets: () => void
  /** How long new requests are still accepted, each answered with `Connection: close`. */
  readonly delayMs: number
  /** How long requests in flight may then take. */
  readonly timeoutMs: number
}

/** How often connections that have become idle are looked for. */
const SWEEP_MS = 100

/**
 * @returns Whether every connection ended by itself; the rest was cut when the time was up.
 */
export async function drain({
  server,
  closeIdle,
  closeAll,
  closeWebSockets,
  delayMs,
  timeoutMs,
}: DrainOptions): Promise<boolean> {
  await delay(delayMs)
  // What has arrived by now is accepted and read first, so that nothing that is there is cut off.
  await turn()
  const closed = new Promise<boolean>(resolve => {
    // Not http's own close: it takes a connection for idle whose answer has not been read to its end.
    Server.prototype.close.call(server, () => {
      resolve(true)
    })
  })
  closeIdle()
  closeWebSockets()
  const sweep = setInterval(() => setImmediate(closeIdle), SWEEP_MS)
  const stopWaiting = new AbortController()
  const late = delay(timeoutMs, false, { signal: stopWaiting.signal }).catch(() => false)
  const inTime = await Promise.race([closed, late])
  stopWaiting.abort()
  clearInterval(sweep)
  closeAll()
  return inTime
}
