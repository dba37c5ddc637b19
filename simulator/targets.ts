/**
 * A target group: who is registered, who is healthy, whose turn it is, and how one leaves.
 *
 * A target that fails its checks gets no requests unless all do (fail open). One that is deregistered
 * gets no new requests, and what is still in flight after the delay is cut off, which a client sees
 * as a 502.
 *
 * @see TG and TRB in the README
 */

import { Agent as HttpAgent, type ClientRequest, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

export type Health = 'initial' | 'healthy' | 'unhealthy' | 'draining'

export interface HealthCheck {
  readonly path: string
  /** Default: the port that gets the traffic. */
  readonly port?: number
  /** Default 200. */
  readonly matcher?: number
  readonly intervalMs?: number
  readonly timeoutMs?: number
  readonly healthyThreshold?: number
  readonly unhealthyThreshold?: number
}

/** Something in flight that can be cut off. */
type InFlight = Pick<ClientRequest | Duplex, 'destroy'>

export interface Target {
  readonly url: string
  /** A request to the target over its pool; a certificate of any kind will do, as for an ALB. */
  readonly request: (options: RequestOptions) => ClientRequest
  /** Counts something as in flight; the function it returns, when it is over. */
  readonly begin: (what: InFlight) => () => void
}

export interface TargetGroup {
  readonly register: (url: string) => void
  /** Resolves when nothing is in flight to that target any more; at the latest after the delay. */
  readonly deregister: (url: string) => Promise<void>
  readonly health: () => Readonly<Record<string, Health>>
  /** Whose turn it is, `undefined` when nobody is registered. */
  readonly next: () => Target | undefined
  readonly close: () => void
}

export interface TargetGroupOptions {
  readonly targets: readonly string[]
  /** Default: none, and whoever is registered is healthy. */
  readonly healthCheck?: HealthCheck
  readonly deregistrationDelayMs: number
  /** How long an unused connection to a target is kept. */
  readonly idleTimeoutMs: number
}

interface Member extends Target {
  health: Health
  /** Successes since the last failure, or failures since the last success. */
  streak: { isUp: boolean; length: number }
  readonly inFlight: Set<InFlight>
  /** Resolves when nothing is in flight. */
  readonly idle: () => Promise<void>
  /** Stops the checks and closes the connections. */
  readonly leave: () => void
}

/** `ELB-HealthChecker/2.0` is all it says of itself. */
const CHECKER = 'ELB-HealthChecker/2.0'

export function createTargetGroup(options: TargetGroupOptions): TargetGroup {
  const members = new Map<string, Member>()
  let turn = 0

  const remove = (url: string) => {
    members.get(url)?.leave()
    members.delete(url)
  }
  const register = (url: string) => {
    remove(url)
    members.set(url, createMember(url, options))
  }
  for (const url of options.targets) register(url)

  return {
    register,
    deregister: async url => {
      const member = members.get(url)
      if (member === undefined) return
      member.health = 'draining'
      const limit = new AbortController()
      const { signal } = limit
      const late = sleep(options.deregistrationDelayMs, undefined, { signal })
      await Promise.race([member.idle(), late.catch(() => undefined)])
      limit.abort()
      for (const each of member.inFlight) each.destroy()
      if (members.get(url) === member) remove(url)
    },
    health: () => Object.fromEntries([...members].map(([url, { health }]) => [url, health])),
    next: () => {
      const serving = [...members.values()].filter(({ health }) => health !== 'draining')
      const healthy = serving.filter(({ health }) => health === 'healthy')
      const eligible = healthy.length > 0 ? healthy : serving
      return eligible[turn++ % Math.max(eligible.length, 1)]
    },
    close: () => {
      for (const url of [...members.keys()]) remove(url)
    },
  }
}

function createMember(
  url: string,
  { healthCheck, idleTimeoutMs }: Pick<TargetGroupOptions, 'healthCheck' | 'idleTimeoutMs'>,
): Member {
  const { protocol, hostname, port } = new URL(url)
  const isSecure = protocol === 'https:'
  const pool = { keepAlive: true, timeout: idleTimeoutMs }
  // TG: an ALB does not validate the certificates of its targets.
  const agent = isSecure
    ? new HttpsAgent({ ...pool, rejectUnauthorized: false })
    : new HttpAgent(pool)
  const where = { hostname, port: port === '' ? (isSecure ? 443 : 80) : Number(port) }
  const send = isSecure ? requestHttps : requestHttp
  const inFlight = new Set<InFlight>()
  const waiting = new Set<() => void>()
  let timer: NodeJS.Timeout | undefined

  const member: Member = {
    url,
    health: healthCheck === undefined ? 'healthy' : 'initial',
    streak: { isUp: true, length: 0 },
    inFlight,
    request: request => send({ ...where, agent, ...request }),
    begin: what => {
      inFlight.add(what)
      return () => {
        inFlight.delete(what)
        if (inFlight.size === 0) for (const resolve of waiting) resolve()
      }
    },
    idle: () =>
      new Promise(resolve => {
        if (inFlight.size === 0) resolve()
        else waiting.add(resolve)
      }),
    leave: () => {
      clearInterval(timer)
      agent.destroy()
    },
  }
  if (healthCheck !== undefined) {
    const { path, matcher = 200, timeoutMs = 5_000, intervalMs = 30_000 } = healthCheck
    const checked = { ...where, port: healthCheck.port ?? where.port }
    const host = `${checked.hostname}:${checked.port}`
    const check = () => {
      const request = send({
        ...checked,
        path,
        agent: false,
        rejectUnauthorized: false,
        headers: { Host: host, 'User-Agent': CHECKER, Connection: 'close' },
        signal: AbortSignal.timeout(timeoutMs),
      })
      request.on('response', answer => {
        answer.resume()
        note(member, answer.statusCode === matcher, healthCheck)
      })
      request.on('error', () => {
        note(member, false, healthCheck)
      })
      request.end()
    }
    timer = setInterval(check, intervalMs)
    check()
  }
  return member
}

/** A new target is in service after one success; others change their state by a streak. */
function note(member: Member, isUp: boolean, check: HealthCheck): void {
  const { healthyThreshold = 5, unhealthyThreshold = 2 } = check
  const { streak } = member
  member.streak = { isUp, length: streak.isUp === isUp ? streak.length + 1 : 1 }
  if (member.health === 'draining') return
  const needed = isUp ? (member.health === 'initial' ? 1 : healthyThreshold) : unhealthyThreshold
  if (member.streak.length >= needed) member.health = isUp ? 'healthy' : 'unhealthy'
}
