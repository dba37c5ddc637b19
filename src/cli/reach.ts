/**
 * Whether the application takes a connection from here, and over TLS shows a certificate that holds.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { UpstreamAddress } from '../config/readers.ts'
import { upstreamTls } from '../forward/upstream-tls.ts'
import { causeOf } from '../tokens/bounded-fetch.ts'

/** Where the application is, and whose certificate it may show. */
export interface Reachable extends UpstreamAddress {
  readonly ca?: readonly string[] | undefined
}

/** @returns What is wrong, `undefined` if nothing is. Never rejects, and ends within `timeoutMs`. */
export function reach(address: Reachable, timeoutMs: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const { socket, event } = open(address)
    const end = (fault?: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(fault)
    }
    const timer = setTimeout(end, timeoutMs, `no connection within ${timeoutMs} ms`)
    socket.once(event, () => {
      end()
    })
    socket.on('error', error => {
      end(causeOf(error))
    })
  })
}

function open({ protocol, host, port, socketPath, ca }: Reachable): {
  readonly socket: Socket
  readonly event: 'connect' | 'secureConnect'
} {
  if (socketPath !== undefined) return { socket: connect(socketPath), event: 'connect' }
  if (protocol === 'http:') return { socket: connect({ host, port }), event: 'connect' }
  const tls = { host, port, ...upstreamTls({ host, ca }) }
  return { socket: connectTls(tls), event: 'secureConnect' }
}
