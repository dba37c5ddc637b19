/**
 * Requests as a load balancer sends them, written once and sent as raw bytes over kept-alive
 * connections, so that the one who asks costs less than the one who is measured. Every answer is
 * looked at; one wrong answer ends the measurement.
 */

import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Process, cpuMicros } from './processes.ts'

/** One kind of request, and the only answer that is right. */
export interface Exchange {
  readonly path: string
  /** The ALB's own three headers; none where its rule only forwards. */
  readonly oidc: Readonly<Record<string, string>>
  readonly status: number
  /** What the answer ends with. */
  readonly body: string
}

const CONNECTIONS = 48
const ANSWER_WITHIN_MS = 5_000
/** For accepting the connections of a turn, which is not what is measured. */
const SETTLE_MS = 50

const SHARD = 'AWSELBAuthSessionCookie'

/** A browser's script asking for JSON: seventeen headers, with two shards of the ALB's session. */
const HEADERS = {
  'X-Forwarded-For': '203.0.113.7',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Port': '443',
  Host: 'consoleme.example.com',
  'X-Amzn-Trace-Id': 'Root=1-67891233-abcdef012345678912345678',
  'sec-ch-ua': '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"macOS"',
  'User-Agent':
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  Accept: 'application/json, text/plain, */*',
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'cors',
  'Sec-Fetch-Dest': 'empty',
  Referer: 'https://consoleme.example.com/',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
  Cookie: ['theme=dark', ...[0, 1].map(n => `${SHARD}-${n}=${'a'.repeat(2_000)}`)].join('; '),
}

function requestOf({ path, oidc }: Exchange): Buffer {
  const lines = Object.entries({ ...HEADERS, ...oidc }).map(([name, value]) => `${name}: ${value}`)
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/** How long one goes on: until both are reached. */
export interface Turn {
  readonly forMs: number
  readonly requests: number
}

/**
 * Keeps the proxy busy with one kind of request for a turn.
 *
 * @returns Microseconds of CPU that one request cost its process.
 * @throws When an answer is wrong, or none comes in five seconds.
 */
export async function measure(
  proxy: Process,
  exchange: Exchange,
  { forMs, requests }: Turn,
): Promise<number> {
  const port = Number(new URL(proxy.url).port)
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, '127.0.0.1'))
  try {
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    await sleep(SETTLE_MS)
    const request = requestOf(exchange)
    const until = performance.now() + forMs
    let answered = 0
    const isOver = () => ++answered >= requests && performance.now() >= until
    const before = cpuMicros(proxy.pid)
    await Promise.all(sockets.map(socket => converse(socket, request, exchange, isOver)))
    return (cpuMicros(proxy.pid) - before) / answered
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

/** One request after the other on one connection, until `isOver`, which is asked after each answer. */
function converse(
  socket: Socket,
  request: Buffer,
  { status, body }: Exchange,
  isOver: () => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const start = `HTTP/1.1 ${status} `
    let received = ''
    socket.setNoDelay().setEncoding('latin1')
    socket.setTimeout(ANSWER_WITHIN_MS, () => socket.destroy(new Error('no answer in time')))
    socket.once('error', reject).once('close', () => {
      reject(new Error(`the connection was closed before its time`))
    })
    socket.on('data', (chunk: string) => {
      received += chunk
      if (received.length < lengthOf(received)) return
      if (!received.startsWith(start) || !received.endsWith(body)) {
        socket.destroy(new Error(`expected ${start}${body}, got:\n${received}`))
        return
      }
      received = ''
      if (isOver()) resolve()
      else socket.write(request)
    })
    socket.write(request)
  })
}

/** Of a whole answer that begins like this; infinite until that can be told. */
function lengthOf(received: string): number {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return Infinity
  const [, length] = /\r\ncontent-length: *(\d+)\r\n/i.exec(received) ?? []
  return end + 4 + Number(length ?? 0)
}
