/**
 * The processes under measurement: each on its own CPU where `taskset` allows it, each asked for its
 * cost through /proc, none of them outliving us.
 */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

export interface Process {
  readonly url: string
  readonly pid: number
  /** SIGKILL, and the end of it. */
  readonly stop: () => Promise<void>
}

const LISTENING_WITHIN_MS = 15_000
/** Linux's USER_HZ, the unit of times in /proc, is 100 on every platform Node runs on. */
const MICROS_PER_TICK = 10_000

const runs = (...args: readonly string[]) => spawnSync('taskset', args).status === 0

/** Whether `taskset` is here and CPUs 0 and 1 are ours to use. */
export const canPin = runs('-c', '0', 'true') && runs('-c', '1', 'true')

/** Moves this process, every thread of it, where the proxies are not. */
export function pinOurselves(cpu: number): void {
  if (canPin) runs('-acp', String(cpu), String(process.pid))
}

/**
 * Starts a script with the flags that the image uses and waits until it writes, in JSON, the `address`
 * that it listens on.
 *
 * @param script What Node is to run, and its arguments.
 * @param env All of its environment but `PATH`.
 * @throws With what it wrote, when it ends first or takes longer than fifteen seconds.
 */
export async function startProcess(
  script: readonly string[],
  env: Readonly<Record<string, string>>,
  cpu: number,
): Promise<Process> {
  const node = [process.execPath, '--enable-source-maps', ...script]
  // taskset replaces itself by what it starts, so that the pid is the script's.
  const [command = '', ...args] = canPin ? ['taskset', '-c', String(cpu), ...node] : node
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = once(child, 'close')

  let output = ''
  const late = setTimeout(kill, LISTENING_WITHIN_MS)
  const port = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-20_000)
        const [, found] = /"address":\{[^}]*"port":(\d+)/.exec(output) ?? []
        if (found !== undefined) resolve(found)
      })
    }
    void ended.then(() => {
      reject(new Error(`${script.join(' ')} ended without listening; it wrote:\n${output}`))
    }, reject)
  })
  clearTimeout(late)
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? NaN,
    stop: async () => {
      kill()
      await ended
    },
  }
}

/**
 * User and system time that a process has used, all its threads together; microseconds, to the next
 * ten thousand.
 *
 * @see proc_pid_stat(5), fields 14 and 15
 */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // Field 2 is the name in parentheses, which may hold spaces; field 3 follows its last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK
}
