/** Turns: contenders one after the other, round after round, so that ratios are of turns next to each other. */

import type { Case, Contender } from './cases.ts'
import { check } from './check.ts'
import { NATIVE, type Peer, type createPeers } from './peers/peers.ts'
import { type Sidecar, tokenLookups } from './peers/sidecar.ts'
import { cpuMicros, residentMebibytes } from './processes.ts'
import type { RequestSpec, Tokens, createRequests } from './requests.ts'
import { type Load, runWrk } from './wrk.ts'

export interface Plan {
  readonly rounds: number
  readonly turnSeconds: number
  /**
   * That a process has had before the first round, and of this kind: what is compiled is decided by how
   * often it ran. For so many seconds at most: a thousand megabytes of bodies compile as much.
   */
  readonly warmUp: {
    readonly all: number
    readonly ofThisKind: number
    readonly seconds: number
  }
}

/** What measuring takes. */
export interface Bench {
  readonly peers: ReturnType<typeof createPeers>
  readonly requests: ReturnType<typeof createRequests>
  readonly tokens: Tokens
  readonly say: (text: string) => void
}

export const CONNECTIONS = 64

/** A contender's process, its load, and how many of its requests have been sent. */
interface Runner {
  readonly peer: Peer
  readonly load: Load
  sent: number
}

/** What a contender took, a number a round. */
export interface Taken {
  /** Microseconds of CPU per request. */
  readonly cost: readonly number[]
  /** Megabytes resident at the end of the turn, under load. */
  readonly resident: readonly number[]
  /** Requests per second: of the machine, not of the proxy. */
  readonly rate: readonly number[]
}

/** In the order given. */
export async function takeTurns(
  bench: Bench,
  contenders: readonly Contender[],
  { rounds, turnSeconds, warmUp }: Plan,
  lookups?: Case['lookups'],
): Promise<readonly Taken[]> {
  const runners: Runner[] = []
  for (const contender of contenders) {
    const peer = await bench.peers.peer(contender.peer)
    await check(contender, peer, bench.tokens)
    const load = await loadOf(bench, contender.request, contender.connections)
    const runner = { peer, load, sent: 0 }
    await getWarm(runner, NATIVE.has(contender.peer.kind) ? COLD : warmUp)
    runners.push(runner)
  }
  const taken = runners.map(() => ({ cost: none(), resident: none(), rate: none() }))
  const sidecar = runners[0]?.peer.sidecar
  const before = sidecar && (await tokenLookups(sidecar))
  for (let round = 1; round <= rounds; round++) {
    for (const [i, runner] of runners.entries()) {
      const { cost, resident, rate } = await turn(runner, turnSeconds)
      taken[i]?.cost.push(cost)
      taken[i]?.resident.push(resident)
      taken[i]?.rate.push(rate)
    }
  }
  if (sidecar && before && lookups) await checkLookups(sidecar, before, lookups)
  return taken
}

const none = (): number[] => []

const COLD: Plan['warmUp'] = { all: 0, ofThisKind: 0, seconds: 0 }
const served = new WeakMap<Peer, number>()

/** Also until every token has been sent, so that what can be remembered is. */
async function getWarm(runner: Runner, plan: Plan['warmUp']): Promise<void> {
  const { peer, load } = runner
  const before = served.get(peer) ?? 0
  const wanted = Math.max(plan.ofThisKind, plan.all - before)
  const until = performance.now() + plan.seconds * 1_000
  do {
    // Longer where wrk has many requests to read first.
    const turnSeconds = load.tokens > 1 ? 1 : 0.4
    const { requests } = await runWrk(peer.url, { ...load, from: runner.sent }, turnSeconds)
    runner.sent += requests
  } while (runner.sent < load.tokens || (runner.sent < wanted && performance.now() < until))
  served.set(peer, before + runner.sent)
}

/** Of a turn, in microseconds: ten times what /proc counts in. */
const LEAST_CPU = 100_000
const TRIES = 10

/**
 * Goes on in the file where the last turn ended; once more, and longer, if it was worth nothing.
 *
 * @throws When the process hardly got the CPU, again and again: the machine does something else.
 */
async function turn(runner: Runner, seconds: number) {
  let resident = NaN
  const { peer, load } = runner
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    // Past what was on its way when the last turn ended: it was seen, though not answered.
    runner.sent += load.connections + 1
    const before = cpuMicros(peer.pid)
    const onwards = { ...load, from: runner.sent }
    const { requests, seconds: lasted } = await runWrk(peer.url, onwards, seconds * attempt, () => {
      resident = residentMebibytes(peer.pid)
    })
    const micros = cpuMicros(peer.pid) - before
    runner.sent += requests
    if (requests > load.connections && micros >= LEAST_CPU) {
      return { cost: micros / requests, resident, rate: requests / lasted }
    }
  }
  throw new Error('this machine is too busy to measure anything on it')
}

/** What a handful of look-ups may spoil: those of requests in flight when a turn ended. */
const NEARLY = 0.01

async function checkLookups(
  sidecar: Sidecar,
  before: ReadonlyMap<string, number>,
  wanted: NonNullable<Case['lookups']>,
): Promise<void> {
  const after = await tokenLookups(sidecar)
  for (const [source, lookup] of Object.entries(wanted)) {
    const more = (kind: string) =>
      (after.get(`${source} ${kind}`) ?? 0) - (before.get(`${source} ${kind}`) ?? 0)
    const share = more('hit') / more('all')
    const isRight = lookup === 'always found' ? share >= 1 - NEARLY : share <= NEARLY
    if (!isRight) throw new Error(`${source}: wanted ${lookup}, but ${share} were found`)
  }
}

/** A file of requests, and how to send them to a peer of one's own. */
export const loadOf = async (
  { requests }: Bench,
  spec: RequestSpec,
  connections = CONNECTIONS,
): Promise<Load> => ({ ...(await requests(spec)), connections })
