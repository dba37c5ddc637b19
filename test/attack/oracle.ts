/**
 * What must hold after any attack, whatever it was: the application saw no more requests than were let
 * through, nobody's word on identity but ours, nothing it could not frame; and the process that was
 * attacked is still the one that answers.
 */
import type { Test } from 'tap'
import type { FramedRequest, Recorder } from '../fixtures/recorder.ts'
import type { Rig } from '../fixtures/sidecar.ts'
import { eventually } from './rows.ts'

/** As the laxest application folds header names (WSGI, CGI, PHP). */
export const fold = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '-')

/**
 * What the sidecar may say of identity: header names as it writes them, in lower case, each with every
 * value it may give them. Whatever folds to one of these names, or begins like the ALB's, is foreign
 * unless it is exactly this.
 */
export type Assertable = Readonly<Record<string, readonly string[]>>

export interface Oracle {
  /**
   * Run as the last test of a file.
   * @param others Further sidecars in front of the same recorder.
   */
  readonly check: (t: Test, recorder: Recorder, others?: readonly Rig[]) => Promise<void>
}

export interface OracleOptions {
  readonly assertable: Assertable
  /** Whether a connection may end in the middle of a request, as it does when a client leaves. */
  readonly mayBreakOff?: boolean
}

const STARTED = 'process_start_time_seconds'

/** Taken before the attacks. */
export async function startOracle(rig: Rig, options: OracleOptions): Promise<Oracle> {
  const startedAt = await rig.metric(STARTED)
  return {
    async check(t, recorder, others = []) {
      await quiet(rig)
      t.equal(await rig.metric('alb_auth_requests_in_flight'), 0, 'every request was settled')
      t.equal(await rig.metric(STARTED), startedAt, 'it is still the same process')
      t.equal(await faults(rig), 0, 'nothing was an internal error')
      t.notMatch(rig.output(), /"level":(50|60)/, 'nothing was logged as an error')

      const counts = await Promise.all([rig, ...others].map(passed))
      const letThrough = counts.reduce((total, count) => total + count, 0)
      const seen = recorder.framed()
      t.ok(
        seen.length <= letThrough,
        `${seen.length} requests arrived, ${letThrough} were let through`,
      )
      t.same(
        seen.flatMap(request => foreign(request, options.assertable)),
        [],
        'no identity but ours arrived',
      )
      if (options.mayBreakOff !== true) {
        t.same(recorder.leftovers().filter(Boolean), [], 'every byte that arrived was framed')
      }
    },
  }
}

/** The headers of a request that only the sidecar may write and that it did not write. */
export function foreign({ headers, trailers }: FramedRequest, assertable: Assertable): string[] {
  const owned = new Set(Object.keys(assertable).map(fold))
  const isForeign = (header: string): boolean => {
    const at = header.indexOf(':')
    const name = header.slice(0, at).toLowerCase()
    const isOwned = owned.has(fold(name)) || fold(name).startsWith('x-amzn-oidc-')
    return isOwned && !assertable[name]?.includes(header.slice(at + 1).trim())
  }
  return [...headers.filter(isForeign), ...trailers]
}

/** Waits until no request is under way. */
export async function quiet(rig: Rig): Promise<void> {
  await eventually(async () => (await rig.metric('alb_auth_requests_in_flight')) === 0)
}

/** Requests that the application may have seen: let through, or let through and not answered well. */
async function passed(rig: Rig): Promise<number> {
  const page = await rig.metrics()
  return (
    sum(page, /^alb_auth_requests_total\{verdict="(?:authenticated|anonymous)".*/gm) +
    sum(page, /^alb_auth_rejections_total\{reason="upstream_(?:invalid|timeout|unreachable)".*/gm)
  )
}

async function faults(rig: Rig): Promise<number> {
  return sum(await rig.metrics(), /^alb_auth_rejections_total\{reason="internal_error".*/gm)
}

function sum(page: string, series: RegExp): number {
  return [...page.matchAll(series)].reduce(
    (total, [line]) => total + Number(line.slice(line.lastIndexOf(' ') + 1)),
    0,
  )
}
