/**
 * One turn of load: wrk over kept-alive connections, ended by a signal. A turn with one socket error or
 * one wrong status is no measurement.
 */

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PrebuiltRequests } from './requests.ts'
import { inSource } from './world.ts'
import { LOAD_CPU, outlivedByUs } from './processes.ts'

export interface Load extends PrebuiltRequests {
  /** Which is sent first, counting on past the last; the first unless said. */
  readonly from?: number
  readonly connections: number
  /** Milliseconds that each connection pauses between requests, on average. */
  readonly delayMs?: number
}

export interface Turn {
  readonly requests: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

interface Report extends Turn {
  readonly above399: number
  readonly wrongStatus: number
  readonly socketErrors: number
}

/**
 * Keeps the address busy.
 *
 * @param beforeEnd Called while the load is still on, at its end.
 * @throws When an answer was wrong, or missing. None at all is no error: a short turn on a busy machine.
 */
export async function runWrk(
  url: string,
  { file, count, from = 0, status, connections, delayMs = 0 }: Load,
  seconds: number,
  beforeEnd: () => void = () => undefined,
): Promise<Turn> {
  const wrk = [
    'wrk',
    '-t1',
    `-c${connections}`,
    '-d1h',
    '--timeout',
    '20s',
    '-s',
    inSource('wrk.lua'),
  ]
  const args = [...wrk, url, '--', file, ...[status, delayMs, from % count].map(String)]
  const child = spawn('taskset', ['-c', String(LOAD_CPU), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = outlivedByUs(child)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  let complaint = ''
  const ready = new Promise<void>(resolve => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text
      if (complaint.includes('ready\n')) resolve()
    })
  })
  await Promise.race([ready, ended])
  await sleep(seconds * 1_000)
  beforeEnd()
  // Its way of ending before its time: it stops within a tenth of a second and reports.
  child.kill('SIGINT')
  await ended
  return judge(output, status, complaint)
}

function judge(output: string, status: number, complaint: string): Turn {
  const line = output.split('\n').find(text => text.startsWith('{'))
  const report: unknown = line === undefined ? undefined : JSON.parse(line)
  if (!isReport(report)) throw new Error(`wrk did not report:\n${output}${complaint}`)
  const { requests, socketErrors, above399, wrongStatus } = report
  const wrong = status === 200 ? above399 : wrongStatus
  if (socketErrors + wrong > 0) {
    throw new Error(`${requests} answers, ${wrong} not ${status}, ${socketErrors} socket errors`)
  }
  return report
}

const isReport = (value: unknown): value is Report =>
  typeof value === 'object' && value !== null && 'socketErrors' in value
