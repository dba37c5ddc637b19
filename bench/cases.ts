/**
 * What is measured, against whom, and what must hold: every bar in one place. A case compares the CPU
 * time that a request costs our process with what it costs each rival; a limit is a number of ours alone.
 */

import type { PeerSpec } from './peers/peers.ts'
import type { RequestSpec } from './requests.ts'

export interface Contender {
  readonly who: string
  readonly peer: PeerSpec
  readonly request: RequestSpec
  /** Keep-alive connections; 64 unless said. */
  readonly connections?: number
}

export interface Rival extends Contender {
  /** Ours to theirs, at most: the median of the rounds' ratios. None: shown for comparison. */
  readonly bar?: number
  readonly stretch?: number
}

export interface Case {
  readonly name: string
  readonly what: string
  readonly ours: Contender
  readonly rivals: readonly Rival[]
  /** What the sidecar's own counters must say of its look-ups, or the case did not measure what it says. */
  readonly lookups?: { readonly alb: Lookup; readonly access_token: Lookup }
  /** Where rivals are several points of one line: what ours would cost on it, from the rivals' costs. */
  readonly expected?: { readonly who: string; readonly bar: number; readonly from: Extrapolate }
}

type Lookup = 'always found' | 'never found'
type Extrapolate = (costs: readonly number[]) => number

export interface Limit {
  readonly name: string
  readonly what: string
  readonly unit: 'ms' | 'MiB' | 'times'
  readonly bar: number
}

const API = '/api/v1/requests'
/** More than fit in the sidecar's cache, so that none is found when its turn comes again. */
const MANY = 2_000

/** Connections, where a request takes long: those cut off by the end of a turn are not counted. */
const FEW = 8

const SAME: RequestSpec = { path: API, albTokens: 1 }
const NEW_ALB: RequestSpec = { path: API, albTokens: MANY }
const NEW_BOTH: RequestSpec = { path: API, albTokens: MANY, accessTokens: MANY }
const FORGED: RequestSpec = { path: API, albTokens: 64, forged: true }
const SHORT: RequestSpec = { path: API, fillerBytes: 0, groups: 1, cookieBytes: 200 }
const OPEN: RequestSpec = { path: '/open/status' }
const OPEN_10K: RequestSpec = { path: '/open/bytes/10240' }
const POST_10K: RequestSpec = { path: '/open/swallow', bodyBytes: 10_240 }
const ANSWER_1M: RequestSpec = { path: '/open/bytes/1048576' }
const UPLOAD_1M: RequestSpec = { path: '/open/swallow', bodyBytes: 1_048_576 }

/** Sizes of the answers above and of those in limits and curves. */
export const BODY_BYTES: readonly number[] = [
  1_024, 10_240, 102_400, 1_048_576, 10_485_760, 104_857_600,
]

export const sidecar = (request: RequestSpec, who = 'sidecar'): Contender => ({
  who,
  peer: { kind: 'sidecar' },
  request,
})
const haproxyJwt = (request: RequestSpec) =>
  ({ who: 'haproxy, jwt_verify of both', peer: { kind: 'haproxy-jwt' }, request }) as const
const naive = (request: RequestSpec) =>
  ({ who: 'http-proxy + jose', peer: { kind: 'http-proxy-jose' }, request }) as const
const lua = (request: RequestSpec) =>
  ({ who: 'nginx + lua', peer: { kind: 'nginx-lua' }, request }) as const
const httpProxy = (request: RequestSpec) =>
  ({ who: 'http-proxy, keep-alive', peer: { kind: 'http-proxy' }, request }) as const

/** One of its own, so that only what is said differs. */
export const apart = (
  name: string,
  request: RequestSpec,
  settings: Readonly<Record<string, string>> = {},
): Contender => ({ who: `sidecar, ${name}`, peer: { kind: 'sidecar', name, settings }, request })

/**
 * This many ALB tokens and a tenth as many access tokens, for signing those takes long, in as many
 * different requests either way. They are short, because the sidecar's cache has 32 MB for each kind, which
 * are some 6,500 tokens of 1.5 KB.
 */
export const cached = (tokens: number): Contender =>
  apart(
    `${tokens.toLocaleString('en')} tokens cached`,
    { ...SHORT, albTokens: tokens, accessTokens: Math.ceil(tokens / 10), requests: 10_000 },
    // Room for a few more, because tokens that come round in order are all lost if one is.
    { TOKEN_CACHE_SIZE: '11000' },
  )

/** Patterns of which none fits the guarded path asked for. */
export const openRules = (count: number): string =>
  Array.from({ length: count }, (_, i) => `/api/v${i + 2}/*/public/?`).join(',')

export const ruled = (count: number): Contender =>
  apart(`${count} open rule${count === 1 ? '' : 's'}`, SAME, { NOAUTH_PATHS: openRules(count) })

export const grouped = (groups: number): Contender =>
  sidecar({ ...SAME, groups }, `sidecar, ${groups} group${groups === 1 ? '' : 's'}`)

const FOUND = { alb: 'always found', access_token: 'always found' } as const

export const CASES: readonly Case[] = [
  {
    name: 'warm',
    what: 'both tokens seen before',
    ours: sidecar(SAME),
    rivals: [
      { ...haproxyJwt(SAME), bar: 0.6, stretch: 0.4 },
      { ...sidecar(OPEN, 'sidecar, open path'), bar: 1.2 },
      naive(SAME),
      lua(SAME),
    ],
    lookups: FOUND,
  },
  {
    name: 'new-alb',
    what: 'ALB token new on every request, access token seen before',
    ours: sidecar(NEW_ALB),
    rivals: [{ ...haproxyJwt(NEW_ALB), bar: 1.1, stretch: 1 }],
    lookups: { alb: 'never found', access_token: 'always found' },
  },
  {
    name: 'cold',
    what: 'both tokens new on every request',
    ours: sidecar(NEW_BOTH),
    rivals: [
      { ...haproxyJwt(NEW_BOTH), bar: 1.3, stretch: 1.15 },
      { ...naive(NEW_BOTH), bar: 0.65 },
      lua(NEW_BOTH),
    ],
    lookups: { alb: 'never found', access_token: 'never found' },
  },
  {
    name: 'open',
    what: 'open path, small answer',
    ours: sidecar(OPEN),
    rivals: [
      { ...httpProxy(OPEN), bar: 0.6, stretch: 0.45 },
      { who: 'undici Pool.dispatch', peer: { kind: 'undici' }, request: OPEN },
      { who: 'node:http answering by itself', peer: { kind: 'node' }, request: OPEN },
      { who: 'nginx', peer: { kind: 'nginx' }, request: OPEN },
      { who: 'haproxy', peer: { kind: 'haproxy' }, request: OPEN },
    ],
  },
  {
    name: 'open-10k',
    what: 'open path, answer of 10 KB',
    ours: sidecar(OPEN_10K),
    rivals: [{ ...httpProxy(OPEN_10K), bar: 0.6, stretch: 0.45 }],
  },
  {
    name: 'post-10k',
    what: 'open path, POST of 10 KB',
    ours: sidecar(POST_10K),
    rivals: [{ ...httpProxy(POST_10K), bar: 0.6, stretch: 0.45 }],
  },
  {
    name: 'forged',
    what: 'rejection of a forged token, real `kid`',
    ours: sidecar(FORGED),
    rivals: [{ ...haproxyJwt(FORGED), bar: 0.75 }],
  },
  {
    name: 'answer-1m',
    what: 'answers of 1 MB',
    ours: { ...sidecar(ANSWER_1M), connections: FEW },
    rivals: [{ ...httpProxy(ANSWER_1M), connections: FEW, bar: 0.9 }],
  },
  {
    name: 'upload-1m',
    what: 'uploads of 1 MB',
    ours: { ...sidecar(UPLOAD_1M), connections: FEW },
    rivals: [{ ...httpProxy(UPLOAD_1M), connections: FEW, bar: 0.9 }],
  },
  {
    name: 'flat-tokens',
    what: 'ALB tokens cached, 10 → 10,000, and a tenth as many access tokens',
    ours: cached(10_000),
    rivals: [{ ...cached(10), bar: 1.1 }],
    lookups: FOUND,
  },
  {
    name: 'flat-rules',
    what: 'open rules, 1 → 100',
    ours: ruled(100),
    rivals: [{ ...ruled(1), bar: 1.1 }],
    lookups: FOUND,
  },
  {
    name: 'flat-groups',
    what: 'groups, 1 → 500',
    ours: grouped(500),
    rivals: [grouped(1), grouped(250)],
    expected: {
      who: 'straight on from 1 to 250',
      bar: 1.1,
      from: ([one = NaN, half = NaN]) => one + ((half - one) * 499) / 249,
    },
    lookups: FOUND,
  },
]

/** In milliseconds, MiB, or how many times as much. */
export const LIMITS = {
  latency: {
    name: 'latency',
    what: 'p99 added to going direct, at a tenth of saturation',
    unit: 'ms',
    bar: 1,
  },
  start: {
    name: 'start',
    what: 'process start to first authenticated answer',
    unit: 'ms',
    bar: 400,
  },
  memory: { name: 'memory', what: 'RSS after warm-up, 64 connections', unit: 'MiB', bar: 115 },
  memory24: { name: 'memory', what: 'the same on Node 24', unit: 'MiB', bar: 120 },
  // None, as far as one can see through a collector.
  slope: { name: 'slope', what: 'growth of RSS over a million requests', unit: 'MiB', bar: 5 },
  slope24: { name: 'slope', what: 'the same on Node 24', unit: 'MiB', bar: 5 },
  bodies: {
    name: 'bodies',
    what: 'RSS with bodies of 10 MB, both ways, to that with bodies of 1 MB',
    unit: 'times',
    bar: 1.1,
  },
} as const satisfies Record<string, Limit>

export const REQUESTS = { SAME, OPEN } as const
