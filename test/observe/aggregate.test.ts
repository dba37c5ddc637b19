import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { createAggregate } from '../../src/observe/aggregate.ts'
import { createMetrics } from '../../src/observe/metrics.ts'

/** A process with a counter, a histogram and gauges, as it would tell of them over a channel. */
function startProcess() {
  const registry = new Registry()
  const registers = [registry]
  const counter = new Counter({ name: 'done_total', help: 'a', labelNames: ['kind'], registers })
  const seconds = new Histogram({ name: 'took_seconds', help: 'b', buckets: [1, 5], registers })
  const open = new Gauge({ name: 'open', help: 'c', registers })
  const flag = new Gauge({ name: 'flag', help: 'd', aggregator: 'max', registers })
  const startTime = new Gauge({ name: 'process_start_time_seconds', help: 'e', registers })
  const snapshot = async () =>
    JSON.parse(JSON.stringify(await registry.getMetricsAsJSON())) as object[]
  return { counter, seconds, open, flag, startTime, snapshot }
}

const valueIn = (page: string, series: string): number => {
  const line = page.split('\n').find(each => each.startsWith(`${series} `))
  return line === undefined ? Number.NaN : Number(line.slice(series.length + 1))
}

t.test('counters, buckets and open things are added up; flags and start times are not', async t => {
  const [own, one, two] = [startProcess(), startProcess(), startProcess()]
  for (const [at, process] of [own, one, two].entries()) {
    process.counter.inc({ kind: 'a' }, at)
    process.counter.inc({ kind: 'b' }, 10)
    process.seconds.observe(at * 2)
    process.open.set(at)
    process.flag.set(at === 0 ? 0 : 1)
    process.startTime.set(1_000 + at)
  }
  const aggregate = createAggregate()
  aggregate.update(1, await one.snapshot())
  aggregate.update(2, await two.snapshot())
  const page = await aggregate.page(await own.snapshot())
  t.equal(valueIn(page, 'done_total{kind="a"}'), 3)
  t.equal(valueIn(page, 'done_total{kind="b"}'), 30)
  t.equal(valueIn(page, 'took_seconds_bucket{le="1"}'), 1)
  t.equal(valueIn(page, 'took_seconds_bucket{le="5"}'), 3)
  t.equal(valueIn(page, 'took_seconds_bucket{le="+Inf"}'), 3)
  t.equal(valueIn(page, 'took_seconds_sum'), 6)
  t.equal(valueIn(page, 'took_seconds_count'), 3)
  t.equal(valueIn(page, 'open'), 3)
  t.equal(valueIn(page, 'flag'), 1)
  t.equal(valueIn(page, 'process_start_time_seconds'), 1_000, 'when the first of them started')
})

t.test('what a process told last is what counts', async t => {
  const [own, one] = [startProcess(), startProcess()]
  const aggregate = createAggregate()
  one.counter.inc({ kind: 'a' }, 5)
  aggregate.update(1, await one.snapshot())
  one.counter.inc({ kind: 'a' }, 1)
  aggregate.update(1, await one.snapshot())
  t.equal(valueIn(await aggregate.page(await own.snapshot()), 'done_total{kind="a"}'), 6)
})

t.test('a process that has ended leaves its counters, and nothing else', async t => {
  const [own, one, two, mute] = [startProcess(), startProcess(), startProcess(), 3]
  const aggregate = createAggregate()
  for (const [id, process] of [one, two].entries()) {
    process.counter.inc({ kind: 'a' }, 5)
    process.seconds.observe(2)
    process.open.set(7)
    process.flag.set(1)
    aggregate.update(id, await process.snapshot())
  }
  const ended = [aggregate.retire(0), aggregate.retire(1), aggregate.retire(mute)]
  const during = await aggregate.page(await own.snapshot())
  t.equal(valueIn(during, 'done_total{kind="a"}'), 10, 'also while they are being added up')
  await Promise.all(ended)
  const page = await aggregate.page(await own.snapshot())
  t.equal(valueIn(page, 'done_total{kind="a"}'), 10)
  t.equal(valueIn(page, 'took_seconds_count'), 2)
  t.equal(valueIn(page, 'took_seconds_bucket{le="1"}'), 0)
  t.equal(valueIn(page, 'open'), 0)
  t.equal(valueIn(page, 'flag'), 0)
})

/** 0.1 + 0.2 + 0.3 is more than 0.3 + 0.2 + 0.1, by so little that only `rate()` would notice. */
t.test('no counter goes down by the order in which it is added up', async t => {
  const own = startProcess()
  const aggregate = createAggregate()
  for (const [id, took] of [0.1, 0.2, 0.3].entries()) {
    const process = startProcess()
    process.seconds.observe(took)
    process.counter.inc({ kind: 'a' }, took)
    aggregate.update(id, await process.snapshot())
  }
  const pageOf = async () => {
    const page = await aggregate.page(await own.snapshot())
    return ['done_total{kind="a"}', 'took_seconds_sum'].map(series => valueIn(page, series))
  }
  t.same(await pageOf(), [0.6000000000000001, 0.6000000000000001])
  await aggregate.retire(0)
  t.same(await pageOf(), [0.6000000000000001, 0.6000000000000001], '(0.2 + 0.3) + 0.1')
})

t.test('the page has every metric once, and in each process as in one', async t => {
  const registry = new Registry()
  createMetrics(registry, {
    ...{
      upstreamConnections: () => 3,
      webSockets: () => 2,
      isDraining: () => true,
      isUnsafe: true,
    },
    ...{ version: '1', node: 'v20' },
  })
  const aggregate = createAggregate()
  const snapshot = await registry.getMetricsAsJSON()
  for (const id of [1, 2]) aggregate.update(id, snapshot)
  const page = await aggregate.page(snapshot)
  t.equal(valueIn(page, 'alb_auth_build_info{version="1",node="v20"}'), 1)
  t.equal(valueIn(page, 'alb_auth_draining'), 1)
  t.equal(valueIn(page, 'alb_auth_unsafe_settings'), 1)
  t.equal(valueIn(page, 'alb_auth_upstream_connections'), 9)
  t.equal(valueIn(page, 'alb_auth_websockets'), 6)
  const namesOf = (text: string) =>
    text
      .split('\n')
      .filter(line => line !== '')
      .map(line => line.replace(/ \S+$/, ''))
      .filter(line => !/^nodejs_gc|^nodejs_active/.test(line))
      .sort()
  t.same(namesOf(page), namesOf(await registry.metrics()))
})
