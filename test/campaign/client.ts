/**
 * Sends an attack on a connection of its own and sees it to its end.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Attack } from './attack.ts'

/** What takes longer has not ended in time. */
export const END_MS = 30_000
/** Silence after which a client has said all it will, and says so: FIN. Nothing depends on it. */
const SILENCE_MS = 40
export interface Outcome {
  /** Whether the other side ended the connection before {@link END_MS}, after ours had said its last. */
  readonly ended: boolean
  /** Latin-1. */
  readonly text: string
}

/**
 * @param patienceMs Silence for those who wait for an answer that may never come, as after half a
 *   request. The slower the application, the longer; nothing else depends on it.
 */
export async function send(port: number, { pieces }: Attack, patienceMs: number): Promise<Outcome> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  let text = ''
  const over = new Promise<boolean>(resolve => {
    const last = setTimeout(resolve, END_MS, false)
    let quiet = setTimeout(finish, patienceMs)
    function finish() {
      socket.end()
    }
    function end() {
      clearTimeout(last)
      clearTimeout(quiet)
      resolve(true)
    }
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      clearTimeout(quiet)
      quiet = setTimeout(finish, SILENCE_MS)
    })
    socket.on('error', end)
    socket.on('end', end)
    socket.on('close', end)
  })
  for (const [at, piece] of pieces.entries()) {
    // A packet of its own, as far as that can be asked for.
    if (at > 0) await sleep(1)
    if (socket.destroyed) break
    socket.write(Buffer.from(piece, 'latin1'))
  }
  const ended = await over
  socket.destroy()
  return { ended, text }
}
