/**
 * One metrics page for several processes: counters and histograms added up, gauges each in the way
 * that makes sense for it.
 *
 * A process that has ended leaves its counters behind, as they were last heard: a sum that went down
 * would look to `rate()` like a restart of everything.
 */
import {
  AggregatorRegistry,
  type Aggregator,
  type MetricObjectWithValues,
  type MetricValue,
} from 'prom-client'

/** What `Registry.getMetricsAsJSON()` gave in one of the processes, a metric a member. */
export type Snapshot = readonly object[]

export interface Aggregate {
  /** What the process `id` has counted and measured by now. */
  readonly update: (id: number, snapshot: Snapshot) => void
  /** The process `id` has ended; it is not heard of again. */
  readonly retire: (id: number) => Promise<void>
  /**
   * The page.
   * @param own The snapshot of the process that is asked for it.
   */
  readonly page: (own: Snapshot) => Promise<string>
}

/** Default metrics that prom-client aggregates as suits one service on many machines, not on one. */
const HOW: Readonly<Record<string, Aggregator>> = {
  process_start_time_seconds: 'min',
  process_open_fds: 'max',
  process_max_fds: 'min',
  nodejs_eventloop_lag_seconds: 'max',
  nodejs_eventloop_lag_mean_seconds: 'max',
  nodejs_eventloop_lag_stddev_seconds: 'max',
  nodejs_eventloop_lag_p50_seconds: 'max',
  nodejs_eventloop_lag_p90_seconds: 'max',
  nodejs_eventloop_lag_p99_seconds: 'max',
}

export function createAggregate(): Aggregate {
  const living = new Map<number, Snapshot>()
  /** What the processes that have ended had counted, added up. */
  let left: Promise<Snapshot> = Promise.resolve([])
  /** The most that each series that only goes up has shown. */
  const shown = new Map<string, number>()

  /** What is added up in another order may be less in its last digit, and would look like a restart. */
  function neverLess(metric: MetricObjectWithValues<MetricValue<string>>): object {
    if (!isCounted(metric)) return metric
    const values = metric.values.map(each => {
      const series = JSON.stringify({ ...each, value: metric.name })
      const value = Math.max(each.value, shown.get(series) ?? 0)
      shown.set(series, value)
      return { ...each, value }
    })
    return { ...metric, values }
  }

  return {
    update(id, snapshot) {
      living.set(id, snapshot)
    },

    async retire(id) {
      const counted = (living.get(id) ?? []).filter(isCounted)
      living.delete(id)
      left = left.then(before => addUp([before, counted]).getMetricsAsJSON())
      await left
    },

    async page(own) {
      // In one step, so that no process is counted twice or left out.
      const [alive, before] = [[...living.values()], left]
      const all = await addUp([own, ...alive, await before]).getMetricsAsJSON()
      return addUp([all.map(neverLess)]).metrics()
    },
  }
}

function addUp(snapshots: readonly Snapshot[]) {
  const told = snapshots.map(snapshot =>
    snapshot.map(metric => {
      const aggregator = HOW[textOf(metric, 'name')]
      return aggregator === undefined ? metric : { ...metric, aggregator }
    }),
  )
  return AggregatorRegistry.aggregate(told)
}

/** Whether it only ever goes up. */
function isCounted(metric: object): boolean {
  return textOf(metric, 'type') !== 'gauge'
}

function textOf(metric: object, member: 'name' | 'type'): string {
  return String(Reflect.get(metric, member))
}
