/** `npm run bench -- --curves`: what a request costs the sidecar, and what memory it takes, against load. */

import {
  BODY_BYTES,
  type Contender,
  REQUESTS,
  apart,
  cached,
  grouped,
  ruled,
  sidecar,
} from './cases.ts'
import { type Bench, type Plan, type Taken, takeTurns } from './measure.ts'
import { median, quantile } from './statistics.ts'

export interface Point {
  readonly x: number
  readonly median: number
  readonly low: number
  readonly high: number
}

export interface Curve {
  readonly title: string
  readonly x: string
  readonly y: string
  /** Points at equal distances for equal factors, and for equal differences; or a bar for each. */
  readonly scale: 'logarithmic' | 'linear' | 'bars'
  /** Whether y is logarithmic too. */
  readonly isSteep?: boolean
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[]
}

interface Sweep extends Pick<Curve, 'x' | 'scale' | 'isSteep'> {
  readonly name: string
  readonly title: string
  readonly shows: readonly Quantity[]
  readonly series: readonly {
    readonly name: string
    readonly at: readonly number[]
    readonly contender: (x: number) => Contender
  }[]
}

type Quantity = 'cost' | 'resident' | 'rate'

const AXES: Readonly<Record<Quantity, string>> = {
  cost: 'µs of CPU per request',
  resident: 'MiB resident',
  rate: 'requests per second',
}

/** For many connections: as many to the application. */
const connected = (connections: number): Contender => ({
  ...apart(`${connections} connections`, REQUESTS.SAME, { UPSTREAM_CONNECTIONS: '1000' }),
  connections,
})

/** Two shards of the session cookie make the head longer, to this many bytes. */
const headed = (bytes: number): Contender =>
  sidecar({ ...REQUESTS.SAME, cookieBytes: (bytes - BARE_HEAD_BYTES) / 2 }, `head of ${bytes}`)

/** Of a request whose cookies are empty. */
const BARE_HEAD_BYTES = 3_800
const LARGE_BODY = 10_000_000

const few = (bytes: number) => ({ connections: bytes > LARGE_BODY ? 2 : 8 })
const answered = (bytes: number): Contender => ({
  ...apart(`answers of ${bytes}`, { path: `/open/bytes/${bytes}` }),
  ...few(bytes),
})
const uploaded = (bytes: number): Contender => ({
  ...apart(`uploads of ${bytes}`, { path: '/open/swallow', bodyBytes: bytes }),
  ...few(bytes),
})

/** On both CPUs, which it shares with the load. */
const working = (workers: number): Contender => ({
  who: `${workers} workers`,
  peer: { kind: 'sidecar', settings: { WORKERS: String(workers) }, cpu: '0,1' },
  request: REQUESTS.SAME,
})

const warm = 'both tokens seen before'

const SWEEPS: readonly Sweep[] = [
  {
    ...{
      name: 'tokens',
      title: 'Cached tokens',
      x: 'ALB tokens; a tenth as many access tokens',
      scale: 'logarithmic',
    },
    shows: ['cost', 'resident'],
    series: [{ name: warm, at: [1, 10, 100, 1_000, 10_000], contender: cached }],
  },
  {
    ...{ name: 'rules', title: 'Open rules', x: 'rules in NOAUTH_PATHS', scale: 'linear' },
    shows: ['cost'],
    series: [{ name: warm, at: [1, 25, 50, 100], contender: ruled }],
  },
  {
    ...{ name: 'groups', title: 'Groups', x: 'groups in the access token', scale: 'linear' },
    shows: ['cost'],
    series: [{ name: warm, at: [1, 50, 100, 250, 500], contender: grouped }],
  },
  {
    ...{ name: 'head', title: 'Head of the request', x: 'bytes', scale: 'linear' },
    shows: ['cost'],
    series: [{ name: warm, at: [5_000, 8_000, 16_000, 32_000, 64_000], contender: headed }],
  },
  {
    ...{ name: 'connections', title: 'Connections', x: 'kept-alive connections' },
    scale: 'logarithmic',
    shows: ['cost', 'resident'],
    series: [{ name: warm, at: [1, 8, 64, 256, 1_000], contender: connected }],
  },
  {
    ...{ name: 'bodies', title: 'Bodies', x: 'bytes', scale: 'logarithmic', isSteep: true },
    shows: ['cost', 'resident'],
    series: [
      { name: 'answers', at: BODY_BYTES, contender: answered },
      { name: 'uploads', at: BODY_BYTES, contender: uploaded },
    ],
  },
  {
    ...{
      name: 'workers',
      title: 'Workers, on both CPUs with the load',
      x: 'WORKERS',
      scale: 'bars',
    },
    shows: ['rate'],
    series: [{ name: warm, at: [1, 2], contender: working }],
  },
]

export const CURVES: readonly string[] = SWEEPS.map(({ name }) => name)

/** One sweep after the other; the points of one take turns. Costs come first, memory last. */
export async function measureCurves(
  bench: Bench,
  plan: Plan,
  isWanted: (name: string) => boolean,
): Promise<readonly Curve[]> {
  const curves: Curve[] = []
  for (const sweep of SWEEPS.filter(({ name }) => isWanted(name))) {
    const points = sweep.series.flatMap(({ at, contender }) => at.map(contender))
    const taken = await takeTurns(bench, points, plan)
    curves.push(...sweep.shows.map(quantity => curveOf(sweep, quantity, taken)))
    bench.say(`${sweep.name} measured`)
  }
  const isMemory = ({ y }: Curve) => Number(y === AXES.resident)
  return curves.toSorted((a, b) => isMemory(a) - isMemory(b))
}

function curveOf(sweep: Sweep, quantity: Quantity, taken: readonly Taken[]): Curve {
  const { title, x, scale, isSteep = false, series } = sweep
  const before = (n: number) => series.slice(0, n).flatMap(({ at }) => at).length
  return {
    ...{ title: quantity === 'resident' ? `Memory: ${title.toLowerCase()}` : title, x, scale },
    y: AXES[quantity],
    isSteep: isSteep && quantity === 'cost',
    series: series.map(({ name, at }, n) => ({
      name,
      points: at.map((value, i) => pointOf(value, taken[before(n) + i]?.[quantity] ?? [])),
    })),
  }
}

const pointOf = (x: number, values: readonly number[]): Point => ({
  x,
  median: round(median(values)),
  low: round(quantile(values, 0)),
  high: round(quantile(values, 1)),
})

const round = (value: number) => Number(value.toPrecision(4))
