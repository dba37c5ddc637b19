/**
 * Who is attacked: this sidecar, or, to compare, one of the others.
 */
import { startRig, ALICE, type Rig } from '../fixtures/sidecar.ts'
import type { Assertable } from './verdict.ts'

export interface Target {
  readonly name: string
  readonly port: number
  readonly token: string
  readonly assertable: Assertable
  /** Requests let through so far, as it says itself; `undefined` when it does not say. */
  readonly letThrough: () => Promise<number | undefined>
  /** Whether the process that was started is the one that answers. */
  readonly isAlive: () => Promise<boolean>
  /** Starts it again after it has died, on another port; the sidecar is not given a second chance. */
  readonly restart?: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Things to be stopped; what a test would be to the fixtures. */
export function createScope() {
  const stops: (() => unknown)[] = []
  return {
    teardown: (stop: () => unknown) => {
      stops.push(stop)
    },
    close: async () => {
      for (const stop of stops.splice(0).reverse()) await stop()
    },
  }
}

const STARTED = 'process_start_time_seconds'
const IN_FLIGHT = 'alb_auth_requests_in_flight'

export async function startSidecar(upstreamPort: number): Promise<Target> {
  const scope = createScope()
  const rig: Rig = await startRig(scope, upstreamPort, {
    NOAUTH_PATHS: '/open/*',
    CLIENT_IP_HEADER: 'x-client-ip',
    ACCESS_LOG: 'off',
  })
  const token = rig.token()
  const startedAt = await rig.metric(STARTED)
  return {
    name: 'alb-auth-sidecar',
    port: rig.port,
    token,
    assertable: {
      'x-forwarded-user': [ALICE.email],
      'x-forwarded-email': [ALICE.email],
      'x-forwarded-groups': ['dev,ops'],
      'x-client-ip': [],
      'x-amzn-oidc-data': [token],
    },
    letThrough: async () => {
      const page = await rig.metrics()
      return (
        sum(page, /^alb_auth_requests_total\{verdict="(?:authenticated|anonymous)".*/gm) +
        sum(
          page,
          /^alb_auth_rejections_total\{reason="upstream_(?:invalid|timeout|unreachable)".*/gm,
        )
      )
    },
    isAlive: async () => {
      const deadline = Date.now() + 30_000
      while ((await rig.metric(IN_FLIGHT)) !== 0 && Date.now() < deadline) await pause()
      const page = await rig.metrics()
      const faults = sum(page, /^alb_auth_rejections_total\{reason="internal_error".*/gm)
      return (await rig.metric(STARTED)) === startedAt && faults === 0
    },
    close: scope.close,
  }
}

const pause = () => new Promise(resolve => setTimeout(resolve, 20))

function sum(page: string, series: RegExp): number {
  return [...page.matchAll(series)].reduce(
    (total, [line]) => total + Number(line.slice(line.lastIndexOf(' ') + 1)),
    0,
  )
}
