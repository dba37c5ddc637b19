/**
 * Runs the sidecar as an operator runs it: a process of its own, told everything by environment
 * variables, judged by its admin port and its exit code. Nothing here imports it.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from './loopback.ts'

export interface SidecarOptions {
  /** The compiled program, `dist/main.js`. */
  readonly main: string
  /** 0 for any free one; then its log, in JSON, must say which. */
  readonly port: number
  /** 0 exactly when `port` is. */
  readonly adminPort: number
  /** Every other variable it gets; of the caller's environment only `PATH` is passed on. */
  readonly settings: Readonly<Record<string, string>>
  /** What it writes, as it writes it. Default: kept for the error message, and no more. */
  readonly onOutput?: (text: string) => void
}

export interface Sidecar {
  readonly url: string
  readonly adminUrl: string
  /** `exit 0`, say, or `SIGKILL`, once it has ended, for whatever cause. */
  readonly ended: Promise<string>
  /** SIGTERM, and SIGKILL when that did not do it in half a minute. */
  readonly stop: () => Promise<string>
}

const READY_WITHIN_MS = 60_000
const STOP_WITHIN_MS = 30_000

/**
 * Starts the sidecar and waits until `/readyz` says so, at most a minute.
 *
 * @throws With all that it wrote, when it ends first or does not get ready.
 */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { main, port, adminPort, settings, onOutput } = options
  const child = spawn(process.execPath, ['--enable-source-maps', main], {
    env: {
      PATH: process.env['PATH'],
      HOST: '127.0.0.1',
      PORT: String(port),
      ADMIN_HOST: '127.0.0.1',
      ADMIN_PORT: String(adminPort),
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a process group of its own, so that Ctrl-C reaches it once: from stop, not from the terminal.
    detached: true,
  })
  const killWithUs = () => child.kill('SIGKILL')
  process.once('exit', killWithUs)

  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000)
      onOutput?.(text)
    })
  }

  let running = true
  const ended = once(child, 'close').then(() => {
    running = false
    process.off('exit', killWithUs)
    return child.signalCode ?? `exit ${child.exitCode ?? 'unknown'}`
  })

  const stop = async (): Promise<string> => {
    child.kill('SIGTERM')
    const timer = setTimeout(killWithUs, STOP_WITHIN_MS)
    const how = await ended
    clearTimeout(timer)
    return how
  }

  const portsNow = () => (port === 0 ? portsIn(output) : { port, adminPort })
  const isRunning = () => running
  const deadline = Date.now() + READY_WITHIN_MS
  for (;;) {
    const ports = portsNow()
    if (ports !== undefined) {
      const adminUrl = `http://127.0.0.1:${ports.adminPort}`
      if (await isReady(adminUrl)) {
        return { url: `http://127.0.0.1:${ports.port}`, adminUrl, ended, stop }
      }
    }
    const late = Date.now() > deadline
    if (late || !isRunning()) {
      const how = late ? `was not ready in time (${await stop()})` : `ended early (${await ended})`
      throw new Error(`the sidecar ${how}; it wrote:\n${output}`)
    }
    await sleep(50)
  }
}

/** From the line in which it says where it listens. */
function portsIn(log: string): { port: number; adminPort: number } | undefined {
  const at = /"address":\{[^}]*"port":(\d+)\},"adminAddress":\{[^}]*"port":(\d+)\}/.exec(log)
  return at === null ? undefined : { port: Number(at[1]), adminPort: Number(at[2]) }
}

const isReady = (adminUrl: string): Promise<boolean> =>
  ask(adminUrl, '/readyz').then(
    ({ status }) => status === 200,
    () => false,
  )
