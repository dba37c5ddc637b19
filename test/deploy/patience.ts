/**
 * Asking and waiting, for tests of what runs in containers and servers of others: bounded, but by far
 * more than any machine needs.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request as startRequest, type OutgoingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Answer {
  readonly status: number
  readonly body: string
}

/** One request on a connection of its own; a minute at most. `status` 0: nobody answered. */
export async function get(url: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
  const request = startRequest(url, { headers, agent: false, signal: AbortSignal.timeout(60_000) })
  request.end()
  return new Promise(resolve => {
    request.on('error', error => {
      resolve({ status: 0, body: error.message })
    })
    request.on('response', response => {
      text(response).then(
        body => {
          resolve({ status: response.statusCode ?? 0, body })
        },
        (error: unknown) => {
          resolve({ status: 0, body: String(error) })
        },
      )
    })
  })
}

/**
 * Asks again and again until `found` is something other than `undefined` or `false`.
 *
 * @param what For the message when two minutes were not enough.
 */
export async function until<T>(
  what: string,
  found: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + 120_000
  for (;;) {
    const value = await found()
    if (value !== undefined && value !== false) return value
    if (Date.now() > deadline) throw new Error(`still not: ${what}`)
    await sleep(100)
  }
}

export interface Ran {
  readonly code: number
  readonly stdout: string
  /** What it wrote to either. */
  readonly output: string
}

/** Runs a command to its end, whatever that is; four minutes at most. */
export async function run(
  command: string,
  args: readonly string[],
  input?: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Ran> {
  const child = spawn(command, args, { stdio: 'pipe', env, timeout: 240_000 })
  const ran = { stdout: '', output: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      ran.output += chunk
      if (stream === child.stdout) ran.stdout += chunk
    })
  }
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const closed = once(child, 'close')
  await once(child, 'exit')
  // What it left running in the background may hold its output open for as long as that runs.
  await Promise.race([closed, sleep(2_000)])
  child.stdout.destroy()
  child.stderr.destroy()
  return { code: child.exitCode ?? -1, ...ran }
}

/** The same, for a command that must succeed; its standard output. @throws with all that it wrote. */
export async function must(
  command: string,
  args: readonly string[],
  input?: string,
): Promise<string> {
  const { code, stdout, output } = await run(command, args, input)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${code}\n${output}`)
  return stdout
}
