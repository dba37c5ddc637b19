/**
 * Whether the application takes connections, asked by connecting and hanging up.
 */
import { connect, type Socket } from 'node:net'

/** How long an answer may be reused, so that probes cannot multiply into connections. */
const REUSE_MS = 500

export interface ProbeOptions {
  readonly host: string
  readonly port: number
  readonly socketPath?: string
  readonly timeoutMs: number
  readonly now: () => number
}

/** @returns A function that resolves to whether a TCP or unix connection could be made in time. */
export function createProbe(options: ProbeOptions): () => Promise<boolean> {
  const { host, port, socketPath, timeoutMs, now } = options
  let latest: { readonly at: number; readonly answer: Promise<boolean> } | undefined
  return () => {
    if (latest === undefined || now() - latest.at > REUSE_MS) {
      const socket = socketPath === undefined ? connect({ host, port }) : connect(socketPath)
      latest = { at: now(), answer: isAccepted(socket, timeoutMs) }
    }
    return latest.answer
  }
}

function isAccepted(socket: Socket, timeoutMs: number): Promise<boolean> {
  return new Promise(resolve => {
    const end = (accepted: boolean) => () => {
      socket.destroy()
      resolve(accepted)
    }
    socket.setTimeout(timeoutMs)
    socket.once('connect', end(true))
    socket.once('error', end(false))
    socket.once('timeout', end(false))
  })
}
