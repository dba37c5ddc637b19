/**
 * Processes that something happens to: told everything by environment variables, found by the address
 * they log, looked at through /proc and never outliving the bench.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { machine as machineOf } from 'node:os'
import { ask } from '../../simulator/loopback.ts'
import { patience } from './waiting.ts'

export interface Program {
  readonly pid: number
  readonly port: number
  readonly adminPort: number
  readonly signal: (name: NodeJS.Signals) => void
  /** `exit 0`, say, or `SIGKILL`. */
  readonly ended: Promise<string>
  readonly isRunning: () => boolean
  /** Nothing reads its log from now on, though the pipe stays open. */
  readonly stopReading: () => void
  /** Its log has no reader at all any more. */
  readonly closeLog: () => void
  /** What it has written, the last of it. */
  readonly output: () => string
}

export interface ProgramOptions {
  /** Compiled script and its arguments. */
  readonly script: readonly string[]
  /** All of its environment but `PATH`. */
  readonly env: Readonly<Record<string, string>>
  /** Where its log goes: to us, or to a file that we have opened. */
  readonly stdout?: 'pipe' | number
  /** Its ports, where its log is not ours to read. */
  readonly ports?: readonly [number, number]
}

const START_MS = 30_000
const KEPT = 100_000

/** Starts it and waits until it has logged where it listens, at most thirty seconds. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { script, env, stdout = 'pipe', ports } = options
  const stdio: StdioOptions = ['ignore', stdout, 'pipe']
  const child = spawn(process.execPath, ['--enable-source-maps', ...script], {
    env: { PATH: process.env['PATH'], ...env },
    stdio,
    // Ctrl-C is for the bench, which then kills them all.
    detached: true,
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const state = { output: '', running: true }
  const ended = once(child, 'exit').then(() => {
    state.running = false
    process.off('exit', kill)
    return child.signalCode ?? `exit ${child.exitCode ?? 'unknown'}`
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      state.output = (state.output + text).slice(-KEPT)
    })
  }
  const found = await patience(START_MS, () => {
    if (!state.running) throw new Error(`${script.join(' ')} ended; it wrote:\n${state.output}`)
    return ports ?? portsIn(state.output)
  })
  if (found === undefined) {
    kill()
    throw new Error(`${script.join(' ')} does not listen; it wrote:\n${state.output}`)
  }
  const [port, adminPort] = found
  return {
    pid: child.pid ?? Number.NaN,
    port,
    adminPort,
    signal: name => {
      process.kill(child.pid ?? Number.NaN, name)
    },
    ended,
    isRunning: () => state.running,
    stopReading: () => {
      silence(child)
    },
    closeLog: () => child.stdout?.destroy(),
    output: () => state.output,
  }
}

function silence({ stdout }: ChildProcess): void {
  stdout?.removeAllListeners('data')
  stdout?.pause()
}

function portsIn(output: string): readonly [number, number] | undefined {
  const [, port] = /"address":\{[^}]*"port":(\d+)/.exec(output) ?? []
  const [, adminPort = '0'] = /"adminAddress":\{[^}]*"port":(\d+)/.exec(output) ?? []
  return port === undefined ? undefined : [Number(port), Number(adminPort)]
}

/** SIGKILL, stopped or not, and the end of it. */
export async function end(program: Program): Promise<void> {
  if (program.isRunning()) program.signal('SIGKILL')
  await program.ended
}

/** Resident memory in MB. */
export function residentMb({ pid }: Pick<Program, 'pid'>): number {
  const [, kb] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
  return Number(kb) / 1024
}

/** Open files, sockets among them. */
export function openFiles({ pid }: Pick<Program, 'pid'>): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Whether a process, of several that may share it, takes connections at a port of 127.0.0.1. */
export function listensAt(port: number, pid: number): boolean {
  const LISTEN = '0A'
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const sockets = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map(line => line.trim().split(/ +/))
    .filter(([, address, , state]) => address === local && state === LISTEN)
    .map(([, , , , , , , , , inode = '']) => `socket:[${inode}]`)
  try {
    const folder = `/proc/${pid}/fd`
    return readdirSync(folder).some(fd => sockets.includes(readlinkSync(`${folder}/${fd}`)))
  } catch {
    return false // It, or a file of it, has gone meanwhile.
  }
}

/** The value of one series of `/metrics`, e.g. `alb_auth_websockets`; the sum, where it names no labels. */
export async function metric({ adminPort }: Program, series: string): Promise<number> {
  const { body } = await ask(`http://127.0.0.1:${adminPort}`, '/metrics')
  return body
    .split('\n')
    .filter(line => line.startsWith(`${series} `) || line.startsWith(`${series}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/**
 * Variables that give a process a wall clock of its own, read anew each time from `file`: `+0`, `-30`.
 * Its monotonic clock stays the machine's, as under NTP.
 */
export const clockFrom = (file: string): Readonly<Record<string, string>> => ({
  LD_PRELOAD: `/usr/lib/${machineOf()}-linux-gnu/faketime/libfaketime.so.1`,
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_NO_CACHE: '1',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
})
