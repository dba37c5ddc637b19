/**
 * The processes under measurement: each on the CPU it is given, each asked for its cost through /proc,
 * none of them outliving us. What they write goes to a file, as a container's runtime would take it.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync, readFileSync, readdirSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** The proxy alone on one CPU; the load and the application on the other. */
export const PROXY_CPU = 0
export const LOAD_CPU = 1

export interface Process {
  readonly pid: number
  /** SIGKILL, and the end of it. */
  readonly stop: () => Promise<void>
}

export interface Program {
  readonly command: string
  readonly args: readonly string[]
  /** All of its environment but `PATH`. */
  readonly env?: Readonly<Record<string, string>>
  /** One, or several as in `0,1`. */
  readonly cpu: number | string
  /** Takes both its streams. */
  readonly logFile: string
}

const LISTENING_WITHIN_MS = 15_000
const ASK_AGAIN_MS = 2
/** Linux's USER_HZ, the unit of times in /proc, is 100 on every platform Node runs on. */
const MICROS_PER_TICK = 10_000

/** Which of these commands are not installed. */
export const missing = (commands: readonly string[]): readonly string[] =>
  commands.filter(command => spawnSync('which', [command]).status !== 0)

/** Moves this process, every thread of it, to where the proxies are not. */
export function pinOurselves(): void {
  spawnSync('taskset', ['-acp', String(LOAD_CPU), String(process.pid)])
}

/** A port of loopback that was free a moment ago: nginx, HAProxy and wrk cannot be given port 0. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return isAddress(address) ? address.port : NaN
}

const isAddress = (address: AddressInfo | string | null): address is AddressInfo =>
  typeof address === 'object' && address !== null

/** Starts a program without waiting for anything. */
export function launch({ command, args, env = {}, cpu, logFile }: Program): Process {
  const log = openSync(logFile, 'a')
  // taskset replaces itself by what it starts, so that the pid is the program's.
  const child = spawn('taskset', ['-c', String(cpu), command, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const ended = outlivedByUs(child)
  return {
    pid: child.pid ?? NaN,
    stop: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

/** Ends a child when we end; @returns Its own end. */
export async function outlivedByUs(child: ChildProcess): Promise<void> {
  living.add(child)
  await once(child, 'close')
  living.delete(child)
}

/**
 * Starts a program and waits until something answers on its port.
 *
 * @throws With what it wrote, when that takes longer than fifteen seconds.
 */
export async function start(program: Program, port: number): Promise<Process> {
  const started = launch(program)
  const until = Date.now() + LISTENING_WITHIN_MS
  while (!(await accepts(port))) {
    if (Date.now() > until) {
      await started.stop()
      const wrote = readFileSync(program.logFile, 'utf8').slice(-4_000)
      throw new Error(`${program.command} does not listen on ${port}; it wrote:\n${wrote}`)
    }
    await sleep(ASK_AGAIN_MS)
  }
  return started
}

/** Whether a connection to this port of loopback succeeds now. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    if (!(error instanceof Error)) throw error
    return false
  } finally {
    socket.destroy()
  }
}

/**
 * User and system time that a process and its children now living have used, all threads together;
 * microseconds, to the next ten thousand.
 *
 * @see proc_pid_stat(5), fields 14 and 15
 */
export function cpuMicros(pid: number): number {
  return sumOverTree(pid, id => {
    const stat = readFileSync(`/proc/${id}/stat`, 'latin1')
    // Field 2 is the name in parentheses, which may hold spaces; field 3 follows its last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK
  })
}

/** Resident memory of a process and its children now living, in MiB, as `docker stats` counts. */
export const residentMebibytes = (pid: number): number =>
  sumOverTree(pid, id => {
    const [, kibibytes = NaN] =
      /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${id}/status`, 'latin1')) ?? []
    return Number(kibibytes) / 1_024
  })

function sumOverTree(pid: number, measure: (pid: number) => number): number {
  const children = readdirSync(`/proc/${pid}/task`).flatMap(task =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' ').filter(Boolean),
  )
  return children.reduce((sum, child) => sum + sumOverTree(Number(child), measure), measure(pid))
}
