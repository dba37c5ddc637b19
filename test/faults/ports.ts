/**
 * Ports that a server can leave and come back to: outside the range from which the kernel takes the
 * ports of outgoing connections, any of which would keep the server from listening again.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const LOWEST = 15_000
const COUNT = 16_000
const TRIES = 50

/** @returns A port of 127.0.0.1 that is free now. */
export async function lastingPort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = LOWEST + Math.floor(Math.random() * COUNT)
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    await once(server.close(), 'close')
    return port
  }
  throw new Error('no free port was found')
}
