/**
 * Somebody else's program, run until the test is over.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'

/**
 * Waits until it says something that matches, thirty seconds at most.
 *
 * @returns What matched.
 * @throws With all that it wrote, when it does not say it or ends first.
 */
export async function runUntil(
  t: Pick<Test, 'teardown'>,
  command: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  what: RegExp,
): Promise<RegExpExecArray> {
  const [program, ...args] = command
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let output = ''
  return await new Promise((resolve, reject) => {
    const fail = () => {
      reject(new Error(`${program} did not start; it wrote:\n${output}`))
    }
    const timer = setTimeout(fail, 30_000)
    void ended.then(fail)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
        const match = what.exec(output)
        if (match !== null) {
          clearTimeout(timer)
          resolve(match)
        }
      })
    }
  })
}
