/**
 * What stands behind the sidecar: a wire that records and counts bytes, and on its other end one of
 * five applications, the fifth of which is the wire itself. Whatever the application says that it has
 * read is compared with what went over the wire.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { readRequests, type FramedRequest } from '../fixtures/recorder.ts'

export const KINDS = ['recorder', 'node', 'tornado', 'wsgiref', 'php'] as const
export type Kind = (typeof KINDS)[number]

/** A request as an application read it. */
export interface Reading {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly bytes: number
}

export interface Upstream {
  readonly kind: Kind
  readonly port: number
  /** Bytes that arrived so far. */
  readonly bytes: () => number
  /** Takes what went over the wire since the last time, read by RFC 9112 to the letter. */
  readonly takeFramed: () => FramedRequest[]
  /** What is left, unread, on each connection that has ended since the last time. */
  readonly takeLeftovers: () => string[]
  /** How many connections are in the middle of a request. */
  readonly unfinished: () => number
  /** Takes what the application said it read; for the recorder, nothing. */
  readonly takeReadings: () => Reading[]
  /** Whole requests that the application has not said it read: it may say so of some of them later. */
  unread: number
  readonly close: () => Promise<void>
}

const PYTHON = '/usr/bin/python3'

export async function startUpstream(kind: Kind): Promise<Upstream> {
  const application = kind === 'recorder' ? undefined : await startApplication(kind)
  const sockets = new Set<Socket>()
  const unfinished = new Set<Socket>()
  let bytes = 0
  let framed: FramedRequest[] = []
  let leftovers: string[] = []

  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    const behind = application && connect({ port: application.port, host: '127.0.0.1' })
    let rest = ''
    socket.on('data', chunk => {
      bytes += chunk.length
      behind?.write(chunk)
      // What is no ASCII in a target or a value changes nothing about where a request ends.
      const text = chunk.toString('latin1').replace(/[\x80-\xff]/g, '?')
      const read = readRequests(rest + text)
      rest = read.rest
      if (rest === '') unfinished.delete(socket)
      else unfinished.add(socket)
      framed.push(...read.requests)
      if (behind !== undefined) return
      for (const { line } of read.requests) {
        const body = line.startsWith('HEAD ') ? '' : 'ok'
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${body}`)
      }
    })
    behind?.on('data', chunk => socket.write(chunk))
    behind?.on('error', () => socket.destroy())
    behind?.on('close', () => socket.end())
    socket.on('end', () => {
      behind?.end()
      if (behind === undefined) socket.end()
    })
    socket.on('error', () => behind?.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      unfinished.delete(socket)
      behind?.destroy()
      if (rest !== '') leftovers.push(rest)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  return {
    kind,
    port: address.port,
    bytes: () => bytes,
    takeFramed: () => {
      const taken = framed
      framed = []
      return taken
    },
    takeLeftovers: () => {
      const taken = leftovers
      leftovers = []
      return taken
    },
    unread: 0,
    unfinished: () => unfinished.size,
    takeReadings: () => application?.take() ?? [],
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await application?.stop()
    },
  }
}

async function startApplication(kind: Exclude<Kind, 'recorder'>) {
  const command = kind === 'node' ? process.execPath : PYTHON
  const args =
    kind === 'node' ? ['test/campaign/application.mjs'] : ['test/campaign/applications.py', kind]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = once(child, 'exit')
  const said = createInterface({ input: child.stdout })
  const first = await Promise.race([once(said, 'line'), ended.then(() => [undefined])])
  const [line] = first as [string | undefined]
  if (line === undefined) throw new Error(`${kind} does not start: is it installed?`)
  let readings: Reading[] = []
  said.on('line', each => readings.push(JSON.parse(each) as Reading))
  return {
    port: (JSON.parse(line) as { port: number }).port,
    take: () => {
      const taken = readings
      readings = []
      return taken
    },
    stop: async () => {
      process.off('exit', kill)
      kill()
      await ended
    },
  }
}
