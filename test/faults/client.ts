/**
 * Those who are served: one request and how it ended, and users who keep asking while something goes
 * wrong. Every request ends in a status, in `dropped` or in `hung`; nothing is sent a second time.
 */
import { Agent, request as startRequest } from 'node:http'
import { request as startTlsRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { World } from './world.ts'

export interface Ask {
  readonly port: number
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly agent?: Agent
  /** Of node:https then, like `agent`. */
  readonly isTls?: boolean
  readonly patienceMs?: number
}

export interface Outcome {
  /** Of a whole answer; `dropped`: the connection broke; `hung`: nothing more came in time. */
  readonly status: number | 'dropped' | 'hung'
  readonly body: string
  readonly seconds: number
  /** `performance.now()` at its end. */
  readonly endedAt: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Of a broken connection: how. */
  readonly detail: string
}

const PATIENCE_MS = 20_000

/** Never rejects. */
export function send(options: Ask): Promise<Outcome> {
  const { port, method = 'GET', path = '/', body, agent, patienceMs = PATIENCE_MS } = options
  const startedAt = performance.now()
  return new Promise(resolve => {
    const found = { body: '', headers: {} as Outcome['headers'] }
    // Whichever comes first is how it ended.
    const over = (status: Outcome['status'], detail = '') => {
      clearTimeout(timer)
      const endedAt = performance.now()
      resolve({ status, ...found, seconds: (endedAt - startedAt) / 1000, endedAt, detail })
      if (typeof status !== 'number') sent.destroy()
    }
    const timer = setTimeout(() => {
      over('hung')
    }, patienceMs)
    const sent = (options.isTls === true ? startTlsRequest : startRequest)({
      ...{ host: '127.0.0.1', port, method, path, agent: agent ?? false },
      headers: { Host: 'app.example.com', ...options.headers },
    })
    sent.on('error', error => {
      over('dropped', error.message)
    })
    sent.on('response', response => {
      found.headers = response.headers
      response.setEncoding('latin1').on('data', (text: string) => {
        found.body += text
      })
      response.on('error', () => undefined)
      // A whole answer is one, even if the connection breaks while the request is still being sent.
      response.on('end', () => {
        over(response.statusCode ?? 0)
      })
      response.on('close', () => {
        over('dropped', 'the answer broke off')
      })
    })
    sent.end(body)
  })
}

export interface Users {
  /** Every outcome so far, in order of its end. */
  readonly outcomes: readonly Outcome[]
  /** Lets them finish what they are at. */
  readonly stop: () => Promise<readonly Outcome[]>
}

/**
 * So many at once until they are stopped or the case is over, each on a kept-alive connection that ends when the server says so, one request
 * after the other.
 *
 * @param ask What the `turn`th request of a user is.
 * @param pauseMs From the end of one request to the next, on average.
 */
export function startUsers(
  { onEnd }: Pick<World, 'onEnd'>,
  count: number,
  pauseMs: number,
  ask: (user: number, turn: number) => Ask,
): Users {
  const outcomes: Outcome[] = []
  const state = { stopped: false }
  onEnd(() => {
    state.stopped = true
  })
  const agents: Agent[] = []
  const all = Array.from({ length: count }, async (_, user) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    agents.push(agent)
    await sleep(Math.random() * pauseMs)
    for (let turn = 0; !state.stopped; turn++) {
      outcomes.push(await send({ agent, ...ask(user, turn) }))
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  })
  return {
    outcomes,
    stop: async () => {
      state.stopped = true
      await Promise.all(all)
      for (const agent of agents) agent.destroy()
      return outcomes
    },
  }
}

export function having(outcomes: readonly Outcome[], ...statuses: Outcome['status'][]): number {
  return outcomes.filter(({ status }) => statuses.includes(status)).length
}

/** How many ended how, e.g. `200: 512, 502: 7`. */
export function tally(outcomes: readonly Outcome[]): string {
  const counts = new Map<string, number>()
  for (const { status } of outcomes) {
    counts.set(String(status), (counts.get(String(status)) ?? 0) + 1)
  }
  const sorted = [...counts].sort(([a], [b]) => a.localeCompare(b))
  return sorted.map(([status, number]) => `${status}: ${number}`).join(', ') || 'none'
}
