import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { createCrew, type Child, type CrewOptions } from '../../src/workers/crew.ts'
import { eventually } from '../attack/rows.ts'
import { bareNode } from '../fixtures/node.ts'

t.setTimeout(600_000)
const PATIENCE_MS = 15_000

interface Forked extends Child {
  readonly process: ChildProcess
  /** Everything it was told. */
  readonly told: unknown[]
  /** Makes it say this. */
  readonly say: (word: object) => void
}

/** A crew of real processes; the nth that is forked is of the nth mode, and then of the last. */
function setUp(t: Test, modes: readonly string[], options: Partial<CrewOptions> = {}) {
  const forked: Forked[] = []
  const snapshots: unknown[] = []
  const ended: { id: number; how: string; isExpected: boolean }[] = []
  const replaced: number[] = []
  const lost: string[] = []
  const clock = { ms: 0 }
  const crew = createCrew({
    size: 2,
    clock: { monotonicMs: () => clock.ms },
    askMs: PATIENCE_MS,
    graceMs: PATIENCE_MS,
    drainTimeoutMs: 0,
    pauseMs: 1,
    fork: () => {
      const mode = modes[Math.min(forked.length, modes.length - 1)]!
      const child = start(t, forked.length, mode)
      forked.push(child)
      return child
    },
    onMetrics: ({ id }, snapshot) => snapshots.push({ id, snapshot }),
    onEnded: ({ id }, how, isExpected) => ended.push({ id, how, isExpected }),
    onReplaced: ({ id }) => replaced.push(id),
    onLost: ({ message }) => lost.push(message),
    ...options,
  })
  t.teardown(crew.end)
  /** Kills one and waits until the crew knows. */
  const kill = async (at: number) => {
    forked[at]!.kill()
    t.ok(await eventually(() => ended.some(({ id }) => id === at), PATIENCE_MS), `${at} has ended`)
  }
  /** Waits until the nth has been told to listen, and so has said hello. */
  const isTold = (at: number) => eventually(() => (forked[at]?.told.length ?? 0) > 0, PATIENCE_MS)
  return { crew, forked, snapshots, ended, replaced, lost, clock, kill, isTold }
}

function start(t: Test, id: number, mode: string): Forked {
  const [execPath, execArgv] = bareNode([])
  const child = fork('test/fixtures/worker.mjs', [mode], { execPath, execArgv, env: {} })
  // What is said to one that has just ended cannot be written.
  child.on('error', () => undefined)
  t.teardown(() => child.kill('SIGKILL'))
  const told: unknown[] = []
  const send = (message: object) => {
    if (child.connected) child.send(message)
  }
  return {
    id,
    pid: child.pid ?? 0,
    process: child,
    told,
    say: word => {
      send({ say: word })
    },
    send: order => {
      told.push(order)
      send(order)
    },
    kill: () => child.kill('SIGKILL'),
    onMessage: heed => child.on('message', heed),
    onEnded: heed => {
      void Promise.all([once(child, 'exit'), once(child, 'disconnect')]).then(() => {
        heed(child.signalCode ?? `exit ${child.exitCode ?? 'unknown'}`)
      })
    },
  }
}

t.test('a crew starts, answers, counts and leaves', async t => {
  const { crew, forked, snapshots, ended, replaced } = setUp(t, ['good'])
  t.same(await crew.start(), { order: 'listen', patienceMs: 0 }, 'the first do not wait for keys')
  t.equal(forked.length, 2)
  t.equal(await crew.notReady(), undefined)
  t.equal(await crew.notHealthy(), undefined)
  await crew.askMetrics()
  t.same(snapshots.map(each => (each as { id: number }).id).sort(), [0, 1])
  t.match(snapshots[0], { snapshot: [{ mode: 'good' }] })
  crew.reload()
  t.ok(await eventually(() => snapshots.length === 4, PATIENCE_MS), 'both reload')
  for (const { say } of forked) {
    for (const noise of [
      {},
      { word: 'readiness', id: 999 },
      { word: 'metrics', id: 999, snapshot: [] },
    ])
      say(noise)
  }
  t.equal(await crew.notReady(), undefined, 'whatever else they may say')
  t.equal(await crew.drain(0), true)
  t.same(
    ended.map(({ how, isExpected }) => `${how} ${isExpected}`),
    Array(2).fill('exit 0 true'),
  )
  t.same(replaced, [])
})

t.test('why it is not ready', async t => {
  const cases = [
    { modes: ['unready'], ready: 'no keys', healthy: undefined, askMs: PATIENCE_MS },
    { modes: ['good', 'unready'], ready: 'no keys', healthy: undefined, askMs: PATIENCE_MS },
    {
      modes: ['good', 'mute'],
      ready: 'a worker does not answer',
      healthy: 'a worker does not answer',
      askMs: 300,
    },
  ]
  for (const { modes, ready, healthy, askMs } of cases) {
    const { crew } = setUp(t, modes, { askMs })
    await crew.start()
    t.equal(await crew.notReady(), ready, `ready: ${modes.join()}`)
    t.equal(await crew.notHealthy(), healthy, `healthy: ${modes.join()}`)
    await crew.askMetrics()
  }
})

t.test('one that dies while it is asked has not answered', async t => {
  const { crew, kill } = setUp(t, ['mute', 'good', 'silent'])
  await crew.start()
  const answer = crew.notReady()
  await kill(0)
  t.equal(await answer, 'a worker does not answer')
  t.equal(await crew.notReady(), undefined, 'and is not asked again; the other serves')
  await kill(1)
  t.equal(await crew.notReady(), 'no worker serves')
})

t.test('a start that fails says why', async t => {
  for (const { modes, message } of [
    { modes: ['fails'], message: 'no port' },
    { modes: ['good', 'dies'], message: /^worker \d+ ended before it served$/ },
    { modes: ['dies when told'], message: /^worker \d+ ended before it served$/ },
  ]) {
    const { crew, ended, forked, lost } = setUp(t, modes)
    await t.rejects(crew.start(), { message }, modes.join())
    crew.end()
    await eventually(() => ended.length === 2, PATIENCE_MS)
    t.equal(forked.length, 2, 'and is not tried again')
    if (modes[0] === 'fails') t.match(ended[0], { how: 'no port', isExpected: true })
    t.same(lost, [])
  }
})

t.test('one that dies is replaced, at once and then after pauses', async t => {
  const { crew, forked, replaced, ended, kill, isTold, clock } = setUp(t, ['good'], {
    pauseMs: 1_000_000,
  })
  await crew.start()
  await kill(0)
  t.ok(await isTold(2), 'at once')
  t.same(replaced, [2])
  t.match(ended, [{ id: 0, how: 'SIGKILL', isExpected: false }])
  t.same(forked[2]!.told[0], { order: 'listen', patienceMs: 10_000 }, 'it waits for its keys first')
  clock.ms = 60_001
  await kill(1)
  t.ok(await isTold(3), 'at once, when it had served for long')
  await eventually(async () => (await crew.notReady()) === undefined, PATIENCE_MS)
  await kill(2)
  t.ok(await isTold(4))
  await kill(3)
  await crew.askMetrics()
  t.equal(forked.length, 5, 'and after a pause when not')
  t.equal(await crew.drain(0), true, 'which nobody has to wait for')
})

t.test('one that cannot start is tried again while another serves, and then no more', async t => {
  const { crew, forked, lost, kill } = setUp(t, ['good', 'good', 'dies'])
  await crew.start()
  await kill(0)
  t.ok(await eventually(() => forked.length > 4, PATIENCE_MS))
  t.same(lost, [])
  await kill(1)
  t.ok(await eventually(() => lost.length > 0, PATIENCE_MS))
  t.match(lost, [/^worker \d+ ended before it served$/])
})

t.test('one that cannot take connections while others do says why when it ends', async t => {
  const { crew, ended, kill } = setUp(t, ['good', 'good', 'fails', 'good'])
  await crew.start()
  await kill(0)
  t.ok(await eventually(() => ended.length === 2, PATIENCE_MS))
  t.match(ended[1], { id: 2, how: 'no port', isExpected: false })
})

t.test('one that says it will leave is replaced when it says so, and only then', async t => {
  const { crew, forked, ended, replaced, kill, isTold } = setUp(t, ['good'])
  await crew.start()
  forked[0]!.say({ word: 'leaving' })
  t.ok(await isTold(2))
  await kill(0)
  t.match(ended, [{ id: 0, isExpected: true }])
  t.same(replaced, [2])
  t.ok(await eventually(async () => (await crew.notReady()) === undefined, PATIENCE_MS))
  t.equal(forked.length, 3)
})

t.test('leaving', async t => {
  await t.test('waits for one that has just been told to serve', async t => {
    const { crew, forked, isTold } = setUp(t, ['slow'])
    void crew.start()
    await Promise.all([isTold(0), isTold(1)])
    t.equal(await crew.drain(0), true)
    t.same(forked[1]!.told.at(-1), { order: 'drain', delayMs: 0 })
  })
  await t.test('does not wait for one that has not begun', async t => {
    const { crew, ended } = setUp(t, ['silent'])
    void crew.start()
    t.equal(await crew.drain(0), true)
    t.same(
      ended.map(({ how }) => how),
      ['SIGKILL', 'SIGKILL'],
    )
  })
  await t.test('says when one of them was not in time', async t => {
    const { crew, ended } = setUp(t, ['good', 'late'])
    await crew.start()
    t.equal(await crew.drain(0), false)
    t.same(
      ended.map(({ how }) => how),
      ['exit 0', 'exit 0'],
    )
  })
  await t.test('kills one that hangs', async t => {
    const { crew, ended } = setUp(t, ['good', 'stuck'], { graceMs: 500 })
    await crew.start()
    t.equal(await crew.drain(0), false)
    t.same(ended.map(({ how }) => how).sort(), ['SIGKILL', 'exit 0'])
  })
  await t.test('leaves alone who is leaving already', async t => {
    const { crew, forked, isTold } = setUp(t, ['good'])
    await crew.start()
    forked[0]!.say({ word: 'leaving' })
    await isTold(2)
    const drained = crew.drain(0)
    t.notOk(forked[0]!.told.some(order => (order as { order: string }).order === 'drain'))
    forked[0]!.say({ word: 'drained', inTime: true })
    t.equal(await drained, true)
  })
  await t.test('is over at once when nobody is left', async t => {
    const { crew, kill } = setUp(t, ['good'], { pauseMs: 1_000_000, size: 1 })
    await crew.start()
    await kill(0)
    const { crew: none } = setUp(t, ['good'], { size: 0 })
    t.equal(await none.drain(0), true)
  })
})
