/**
 * Whether the application takes connections, asked by connecting and hanging up; over TLS, whether it
 * also shows the certificate that requests will ask of it.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { upstreamTls } from './upstream-tls.ts'

/** How long an answer may be reused, so that probes cannot multiply into connections. */
const REUSE_MS = 500

export interface ProbeOptions {
  readonly protocol: 'http:' | 'https:'
  readonly host: string
  readonly port: number
  readonly socketPath?: string
  readonly ca?: readonly string[] | undefined
  readonly timeoutMs: number
  readonly now: () => number
}

/** @returns A function that resolves to whether a TCP, TLS or unix connection could be made in time. */
export function createProbe(options: ProbeOptions): () => Promise<boolean> {
  const { host, port, socketPath, timeoutMs, now } = options
  const tls = options.protocol === 'https:' ? { host, port, ...upstreamTls(options) } : undefined
  let latest: { readonly at: number; readonly answer: Promise<boolean> } | undefined
  return () => {
    if (latest === undefined || now() - latest.at > REUSE_MS) {
      const answer = tls === undefined ? isConnected() : isSecured(tls)
      latest = { at: now(), answer }
    }
    return latest.answer
  }

  function isConnected() {
    const socket = socketPath === undefined ? connect({ host, port }) : connect(socketPath)
    return isAccepted(socket, 'connect', timeoutMs)
  }

  function isSecured(tls: ConnectionOptions) {
    return isAccepted(connectTls(tls), 'secureConnect', timeoutMs)
  }
}

function isAccepted(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  timeoutMs: number,
): Promise<boolean> {
  return new Promise(resolve => {
    const end = (accepted: boolean) => () => {
      socket.destroy()
      resolve(accepted)
    }
    socket.setTimeout(timeoutMs)
    socket.once(event, end(true))
    socket.once('error', end(false))
    socket.once('timeout', end(false))
  })
}
