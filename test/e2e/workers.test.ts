/**
 * Several processes on one port, as an operator meets them: they share the work, are counted as one,
 * outlive each other, and leave together.
 *
 * Which worker serves is arranged by stopping the others: nothing here depends on chance or speed.
 */
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import http, { type Server } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { eventually } from '../attack/rows.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import { lines, openRaw, readAnswer } from '../fixtures/raw.ts'
import { SETTINGS, runProgram, startProgram, type Program } from '../fixtures/sidecar.ts'
import { logged, visit } from '../fixtures/visit.ts'

t.setTimeout(600_000)
// Each test has a program of its own, and waits for it most of the time.
t.jobs = 4

/** Requests for `/open/held?NAME` that wait, by what comes after the question mark. */
const held = new Map<string, () => void>()

const application = http.createServer((request, response) => {
  const { pathname, search } = new URL(request.url ?? '', 'http://app')
  if (pathname === '/open/held') held.set(search.slice(1), () => response.end('held'))
  else response.end('ok')
})
application.listen(0, '127.0.0.1')
await once(application, 'listening')
t.teardown(() => {
  application.closeAllConnections()
  application.close()
})
const portOf = (server: Pick<Server, 'address'>) => (server.address() as AddressInfo).port

/** A program with two workers that all serve, and what to ask it. */
interface Rig {
  readonly program: Program
  readonly port: number
  /** Of the workers that are there now, oldest first. */
  readonly workers: () => number[]
  readonly admin: (path: string) => Promise<{ readonly status: number; readonly body: string }>
  /** The value of a series, or of all series of a name added up. */
  readonly metric: (series: string) => Promise<number>
  /** Sends a request that waits at the application until it is released. */
  readonly hold: (name: string) => Promise<Held>
  /** Runs `act` while none but `worker` can do anything. */
  readonly only: <T>(worker: number, act: () => Promise<T>) => Promise<T>
}

interface Held {
  readonly release: () => void
  /** Whether the answer came, whole. */
  readonly isAnswered: () => Promise<boolean>
  readonly isCut: () => Promise<boolean>
  readonly text: () => string
}

async function start(
  t: Test,
  settings: Readonly<Record<string, string>> = {},
  { detached = false } = {},
): Promise<Rig> {
  const program = await startProgram(
    t,
    {
      ...{ UPSTREAM_URL: `http://127.0.0.1:${portOf(application)}`, NOAUTH_PATHS: '/open/*' },
      ...{ WORKERS: '2', DRAIN_TIMEOUT: '60s', ACCESS_LOG: 'all' },
      ...settings,
    },
    { detached },
  )
  const { port, adminPort } = program
  const admin = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${adminPort}${path}`)
    return { status: answer.status, body: await answer.text() }
  }
  const workers = () => childrenOf(program.pid)
  t.teardown(() => {
    // A stopped one could not be ended by any other signal.
    for (const pid of workers()) kill(pid, 'SIGKILL')
  })
  return {
    ...{ program, port, admin, workers },
    async metric(series) {
      const { body } = await admin('/metrics')
      return Object.entries(seriesOf(body))
        .filter(([name]) => name === series || name.startsWith(`${series}{`))
        .reduce((sum, [, value]) => sum + value, 0)
    },
    async hold(name) {
      const connection = openRaw(port)
      t.teardown(connection.reset)
      connection.write(lines(`GET /open/held?${name} HTTP/1.1`, 'Host: a'))
      if (!(await eventually(() => held.has(name), PATIENCE_MS))) throw new Error('never arrived')
      return {
        release: () => {
          held.get(name)?.()
        },
        isAnswered: async () => {
          await connection.until(/\r\nheld|held\r\n/, PATIENCE_MS)
          return readAnswer(connection.text())?.body === 'held'
        },
        isCut: () => connection.closed(PATIENCE_MS),
        text: connection.text,
      }
    },
    async only(worker, act) {
      const others = workers().filter(pid => pid !== worker)
      for (const pid of others) kill(pid, 'SIGSTOP')
      try {
        return await act()
      } finally {
        for (const pid of others) kill(pid, 'SIGCONT')
      }
    },
  }
}

/** Of a metrics page: each series and its value. */
function seriesOf(page: string): Record<string, number> {
  const found = page.matchAll(/^([a-z_]+(?:\{.*\})?) (\S+)$/gm)
  return Object.fromEntries([...found].map(([, name = '', value]) => [name, Number(value)]))
}

/** The processes whose parent is `pid`, in the order of their ids. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
    .sort((one, two) => one - two)
}

function parentOf(pid: string): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : Number(parent)
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  return parentOf(String(pid)) !== undefined
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

const areGone = (pids: readonly number[]) => eventually(() => !pids.some(isAlive), PATIENCE_MS)

/** Whether nobody listens there any more. */
const isClosed = (port: number) =>
  eventually(
    () =>
      new Promise<boolean>(resolve => {
        const socket = connect({ port, host: '127.0.0.1' })
        socket.on('error', () => {
          resolve(true)
        })
        socket.on('connect', () => {
          socket.destroy()
          resolve(false)
        })
      }),
    PATIENCE_MS,
  )

/** Code for the program to run before its own, from the environment. */
const planted = (code: string) => ({
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}`,
})

t.test('two workers serve as one', async t => {
  const { program, port, workers, admin, metric, only } = await start(t)
  const pids = workers()
  t.equal(pids.length, 2)
  t.match(await admin('/healthz'), { status: 200 })
  t.match(await admin('/readyz'), { status: 200 })

  const ask = (target: string) => visit(port, { target })
  for (const pid of pids) {
    await only(pid, async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask('/open/x')))
      t.ok(
        answers.every(({ status }) => status === 200),
        `${pid} serves while the other one hangs`,
      )
    })
  }
  await Promise.all(Array.from({ length: 60 }, () => ask('/x')))
  const expected = { open: 40, guarded: 60 }
  await eventually(async () => (await metric('alb_auth_requests_total')) === 100, PATIENCE_MS)
  t.equal(await metric('alb_auth_requests_total'), 100, 'the sum of what was asked')
  for (const [series, value] of [
    ['alb_auth_requests_total{verdict="anonymous",route="open"}', expected.open],
    ['alb_auth_requests_total{verdict="rejected",route="guarded"}', expected.guarded],
    ['alb_auth_rejections_total{reason="token_missing",source="none"}', expected.guarded],
    ['alb_auth_request_duration_seconds_count', 100],
    ['alb_auth_requests_in_flight', 0],
    ['alb_auth_build_info', 1],
    ['alb_auth_draining', 0],
    ['alb_auth_unsafe_settings', 0],
    ['alb_auth_worker_restarts_total', 0],
  ] as const) {
    t.equal(await metric(series), value, series)
  }
  const { body: page } = await admin('/metrics')
  const heads = page.match(/^# TYPE \S+/gm) ?? []
  t.equal(new Set(heads).size, heads.length, 'each metric is on the page once')

  program.signal('SIGTERM')
  t.equal(await program.ended, 'exit 0')
  const records = logged(program.stdout())
  const wrote = records.filter(({ msg }) => msg === 'request').map(({ worker }) => worker)
  t.same([...new Set(wrote)].sort(), [...pids].sort(), 'the log says who served')
  t.equal(wrote.length, 100, 'and no line of it is torn')
  t.equal(records.filter(({ msg }) => msg === 'listening').length, 1, 'it begins once')
  t.ok(await areGone(pids))
})

t.test(
  'one that hangs makes the whole unready and unwell, but no new connection hangs',
  async t => {
    const { port, workers, admin, only } = await start(t)
    const [first = 0] = workers()
    await only(first, async () => {
      t.same(await admin('/readyz'), { status: 503, body: 'a worker does not answer\n' })
      t.same(await admin('/healthz'), { status: 503, body: 'a worker does not answer\n' })
      t.equal((await admin('/metrics')).status, 200)
      t.equal((await visit(port, { target: '/open/x' })).status, 200)
    })
    t.ok(await eventually(async () => (await admin('/readyz')).status === 200, PATIENCE_MS))
  },
)

t.test('kill -9 under load: others serve, it is replaced, no counter goes down', async t => {
  const { program, port, workers, admin, metric } = await start(t)
  const state = { isOver: false, answered: 0, cut: 0 }
  const clients = Array.from({ length: 6 }, async () => {
    while (!state.isOver) {
      const connection = openRaw(port)
      connection.write(lines('GET /open/x HTTP/1.1', 'Host: a', 'Connection: close'))
      await connection.closed(PATIENCE_MS)
      if (readAnswer(connection.text())?.status === 200) state.answered++
      else state.cut++
    }
  })
  const fallen: string[] = []
  const scraper = (async () => {
    let before: Record<string, number> = {}
    while (!state.isOver) {
      const now = seriesOf((await admin('/metrics')).body)
      for (const [series, value] of Object.entries(before)) {
        if (!/_(?:total|count|sum|bucket)\b/.test(series)) continue
        if (!((now[series] ?? Number.NaN) >= value))
          fallen.push(`${series} ${value} ${now[series]}`)
      }
      before = now
    }
  })()

  const first = workers()
  const goOn = async () => {
    const enough = state.answered + 100
    t.ok(await eventually(() => state.answered >= enough, PATIENCE_MS), 'clients are served')
  }
  await goOn()
  kill(first[0]!, 'SIGKILL')
  await goOn()
  t.ok(
    await eventually(() => workers().length === 2 && !workers().includes(first[0]!), PATIENCE_MS),
    'another one is there',
  )
  t.ok(await eventually(async () => (await metric('alb_auth_worker_restarts_total')) === 1))
  await goOn()
  state.isOver = true
  await Promise.all([...clients, scraper])
  t.same(fallen, [])
  t.ok(state.cut <= clients.length, `only what was in flight is lost: ${state.cut}`)
  t.match(await admin('/readyz'), { status: 200 })
  const records = logged(program.stdout())
  t.match(
    records.filter(({ msg }) => msg === 'worker ended'),
    [{ level: 50, worker: first[0], how: 'SIGKILL' }],
  )
  program.signal('SIGTERM')
  t.equal(await program.ended, 'exit 0')
})

t.test('SIGTERM reaches all: requests in flight in each are answered', async t => {
  const { program, port, workers, admin, metric, hold, only } = await start(t)
  const pids = workers()
  const [one, two] = [
    await only(pids[0]!, () => hold('one')),
    await only(pids[1]!, () => hold('two')),
  ]
  program.signal('SIGTERM')
  t.ok(await program.writes(/"msg":"draining"/, PATIENCE_MS))
  t.same(await admin('/readyz'), { status: 503, body: 'draining\n' })
  t.match(await admin('/healthz'), { status: 200 }, 'but well')
  t.equal(await metric('alb_auth_draining'), 1)
  t.ok(await isClosed(port))
  t.equal(await metric('alb_auth_requests_in_flight'), 2)
  one.release()
  t.equal(await one.isAnswered(), true)
  t.match(one.text(), /^connection: close\r$/im)
  t.ok(await eventually(() => workers().length === 1, PATIENCE_MS), 'who is done goes')
  t.equal(await metric('alb_auth_requests_total'), 1, 'and leaves what it counted')
  two.release()
  t.equal(await two.isAnswered(), true)
  t.equal(await program.ended, 'exit 0')
  t.match(logged(program.stdout()).at(-1), { msg: 'drained', inTime: true })
  t.notMatch(program.stdout(), /"level":[56]0/)
})

t.test('a signal to the whole process group is one signal', async t => {
  const { program, workers, hold } = await start(t, {}, { detached: true })
  const pids = workers()
  const waiting = await hold('group')
  process.kill(-program.pid, 'SIGHUP')
  process.kill(-program.pid, 'SIGINT')
  t.ok(await program.writes(/"msg":"draining"/, PATIENCE_MS))
  t.ok(await eventually(() => workers().length === 1, PATIENCE_MS), 'the idle one goes')
  waiting.release()
  t.equal(await waiting.isAnswered(), true)
  t.equal(await program.ended, 'exit 0')
  t.ok(await areGone(pids))
})

t.test('a second signal ends all at once', async t => {
  const { program, workers, hold } = await start(t, { DRAIN_DELAY: '10m' }, { detached: true })
  const pids = workers()
  const waiting = await hold('second')
  process.kill(-program.pid, 'SIGTERM')
  t.ok(await program.writes(/"msg":"draining"/, PATIENCE_MS))
  process.kill(-program.pid, 'SIGTERM')
  t.equal(await program.ended, 'exit 1')
  t.ok(await waiting.isCut())
  t.ok(await areGone(pids))
})

t.test('a worker that hangs does not keep the others from leaving', async t => {
  const { program, workers } = await start(t, { DRAIN_TIMEOUT: '200ms' })
  const pids = workers()
  kill(pids[1]!, 'SIGSTOP')
  program.signal('SIGTERM')
  t.equal(await program.ended, 'exit 0')
  t.match(logged(program.stdout()).at(-1), { msg: 'drained', inTime: false })
  t.ok(await areGone(pids))
})

t.test('workers do not outlive a primary that is killed', async t => {
  const { program, port, workers } = await start(t)
  const pids = workers()
  program.signal('SIGKILL')
  t.equal(await program.ended, 'SIGKILL')
  t.ok(await areGone(pids))
  t.ok(await isClosed(port))
})

t.test('SIGHUP to the primary ends nobody', async t => {
  const { program, workers, admin } = await start(t)
  const pids = workers()
  program.signal('SIGHUP')
  t.match(await admin('/readyz'), { status: 200 })
  t.same(workers(), pids)
  program.signal('SIGTERM')
  t.equal(await program.ended, 'exit 0')
})

t.test('a configuration that cannot be used is said once', async t => {
  const program = runProgram(t, { ...SETTINGS, WORKERS: '4', ALB_ARNS: 'x' })
  t.equal(await program.ended, 'exit 78')
  t.equal(program.stdout(), '')
  t.equal(program.stderr().match(/configuration is not usable/g)?.length, 1)
})

t.test('a port that is taken ends the start, in one line', async t => {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  for (const variable of ['PORT', 'ADMIN_PORT']) {
    const settings = { ...SETTINGS, WORKERS: '3', [variable]: String(portOf(taken)) }
    const program = runProgram(t, settings)
    t.equal(await program.ended, 'exit 1', variable)
    const records = logged(program.stdout())
    t.match(records, [{ level: 50, msg: 'cannot listen', err: { message: /EADDRINUSE/ } }])
    t.equal(records.length, 1, `${variable}: and nothing else`)
    t.equal(program.stderr(), '')
  }
})

t.test('a signal while starting is not lost', async t => {
  // At the moment at which the program begins to listen for it, long before it serves.
  const early = planted(`
    import cluster from 'node:cluster'
    const { on } = process
    process.on = function (name, heed) {
      on.call(process, name, heed)
      const isOwn = /\\bmain\\.[jt]s/.test(new Error().stack)
      if (name === 'SIGTERM' && isOwn && !cluster.isWorker) process.kill(process.pid, name)
      return process
    }`)
  for (const WORKERS of ['1', '2']) {
    const program = runProgram(t, { ...SETTINGS, ...early, WORKERS, DRAIN_DELAY: '0s' })
    t.equal(await program.ended, 'exit 0', `WORKERS=${WORKERS}`)
    // Node may hand it over before the program serves (20) or only then (24): it is heeded once.
    t.equal(program.stdout().match(/"signal":"SIGTERM"/g)?.length, 1)
  }
  // And between the moments at which a primary has begun to start its workers and they serve.
  const program = runProgram(
    t,
    {
      ...{ ...SETTINGS, WORKERS: '2', DRAIN_DELAY: '10m' },
      ...planted(
        `import cluster from 'node:cluster'
        if (cluster.isWorker) await new Promise(() => setInterval(() => 0, 1e6))`,
      ),
    },
    { detached: true },
  )
  t.ok(await eventually(() => childrenOf(program.pid).length === 2, PATIENCE_MS))
  const pids = childrenOf(program.pid)
  process.kill(-program.pid, 'SIGTERM')
  t.equal(await program.ended, 'exit 0', 'to workers that have not begun')
  t.ok(await areGone(pids))
})

t.test('when no worker can be started any more, the platform is told', async t => {
  const { program, workers } = await start(
    t,
    planted("import cluster from 'node:cluster'; if (cluster.worker?.id > 2) process.exit(3)"),
  )
  for (const pid of workers()) kill(pid, 'SIGKILL')
  t.equal(await program.ended, 'exit 1')
  t.equal(program.stdout().match(/"msg":"nobody serves"/g)?.length, 1)
})

/** T-85. */
t.test('an exception that nobody caught ends its process, but not what it was doing', async t => {
  const throws = planted(
    `process.on('SIGUSR2', () => { setImmediate(() => { throw new Error('planted') }) })`,
  )
  await t.test('of a worker', async t => {
    const { program, workers, admin, hold, only, metric } = await start(t, throws)
    const pids = workers()
    const waiting = await only(pids[0]!, () => hold('fault'))
    kill(pids[0]!, 'SIGUSR2')
    t.ok(await program.writes(/"msg":"fault"/, PATIENCE_MS))
    t.ok(await eventually(() => workers().length === 3, PATIENCE_MS), 'replaced before it has gone')
    waiting.release()
    t.equal(await waiting.isAnswered(), true)
    t.ok(await areGone(pids.slice(0, 1)))
    t.ok(await eventually(async () => (await admin('/readyz')).status === 200, PATIENCE_MS))
    t.equal(workers().length, 2)
    t.equal(await metric('alb_auth_worker_restarts_total'), 1)
    t.equal(await metric('alb_auth_requests_total'), 1)
    program.signal('SIGTERM')
    t.equal(await program.ended, 'exit 0')
  })
  await t.test('of one alone', async t => {
    const { program, port, hold } = await start(t, { ...throws, WORKERS: '1' })
    const waiting = await hold('alone')
    program.signal('SIGUSR2')
    t.ok(await program.writes(/"msg":"fault"/, PATIENCE_MS))
    t.ok(await isClosed(port))
    waiting.release()
    t.equal(await waiting.isAnswered(), true)
    t.equal(await program.ended, 'exit 1')
  })
  await t.test('and a second one ends it at once', async t => {
    const { program, hold } = await start(t, { ...throws, WORKERS: '1' })
    const waiting = await hold('twice')
    program.signal('SIGUSR2')
    t.ok(await program.writes(/"msg":"fault"/, PATIENCE_MS))
    program.signal('SIGUSR2')
    t.equal(await program.ended, 'exit 1')
    t.ok(await waiting.isCut())
  })
})
