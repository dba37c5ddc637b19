#!/usr/bin/env node
/**
 * Entry, and the only reader of `process`: reads the environment and becomes the whole sidecar, or, with
 * `WORKERS`, the primary of several or one of them; with arguments, a command that ends.
 *
 * Signals are heard before anything else is loaded: a platform may change its mind at any time, and as
 * process 1 of a container a signal that nobody listens for is lost.
 */
import cluster from 'node:cluster'
import { readFileSync } from 'node:fs'
import type { pino } from 'pino'
import { EXIT } from './core/exit.ts'
import type { Host } from './core/host.ts'
import type { Child } from './workers/crew.ts'
import type { Word } from './workers/messages.ts'

if (process.argv.length > 2) process.exit(await runCommand(process.argv.slice(2)))
const onSignal = hearSignals()

const [{ ConfigFault, loadConfig }, { pino: createPino }, { createLog }] = await Promise.all([
  import('./config/config.ts'),
  import('pino'),
  import('./observe/log.ts'),
])

type Destination = ReturnType<typeof pino.destination>

/** Log lines that may wait for a reader, in bytes; what comes beyond is dropped, not waited for. */
const MAX_LOG_BACKLOG = 4_194_304
/** What is written at once, in bytes: a pipe takes so much whole, however many processes write to it. */
const MAX_LOG_WRITE = 4_096
/** How long the process waits for its log to be read before it ends without. */
const FLUSH_MS = 1_000
/** How long a worker takes to end whose primary is gone. */
const ORPHAN_MS = 100

const loaded = load()
const { config } = loaded
const destination = createPino.destination({
  ...{ dest: 1, sync: false, minLength: 1, maxLength: MAX_LOG_BACKLOG, maxWrite: MAX_LOG_WRITE },
})
destination.on('error', () => undefined)
const log = createLog({
  level: config.logLevel,
  format: config.logFormat,
  accessLog: config.accessLog,
  logSubject: config.logSubject,
  destination,
  ...(cluster.isWorker && { worker: process.pid }),
})
const host: Host = {
  version: readVersion(),
  node: process.version,
  exit: (code, patienceMs = FLUSH_MS) => {
    exitAfter(destination, code, patienceMs)
  },
  onSignal,
  onReload: heed => {
    process.on('SIGHUP', heed)
  },
  onFault: heed => {
    process.on('uncaughtException', heed)
  },
}

if (cluster.isWorker) {
  const { work } = await import('./worker.ts')
  onSignal(() => undefined)
  await work(loaded, log, host, primary())
} else {
  const { operate } = await import('./operate.ts')
  await operate(await createService(), loaded, log, host)
}

/** Everything but serving; loaded here, so that serving does not pay for it. */
async function runCommand(args: readonly string[]): Promise<number> {
  const [{ run }, { systemClock: clock }, { text }] = await Promise.all([
    import('./cli/cli.ts'),
    import('./core/clock.ts'),
    import('node:stream/consumers'),
  ])
  // Whoever reads the beginning of it, as head does, need not read the rest.
  process.stdout.on('error', () => process.exit(EXIT.fault))
  return run({
    ...{ args, environment: environment(), version: readVersion(), clock },
    isScreen: process.stdout.isTTY,
    readInput: () => text(process.stdin),
    print: output => process.stdout.write(output),
    printError: output => process.stderr.write(output),
  })
}

/** The variables, with what node was told on its command line as if it were one of them. */
function environment() {
  const { env, execArgv } = process
  return { ...env, NODE_OPTIONS: [env['NODE_OPTIONS'] ?? '', ...execArgv].join(' ') }
}

function readVersion(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return /"version": "([^"]+)"/.exec(manifest)?.[1] ?? 'unknown'
}

/** Reads the environment, or ends the process with everything that is wrong with it. */
function load() {
  try {
    return loadConfig(environment())
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(EXIT.config)
  }
}

async function createService() {
  if (config.workers > 1) {
    const { createPrimary } = await import('./primary.ts')
    // Each worker takes connections when it can: one that hangs is not handed any (ADR 0008).
    cluster.schedulingPolicy = cluster.SCHED_NONE
    return createPrimary(config, log, host, fork)
  }
  const [{ createAlone }, { createSidecar }] = await Promise.all([
    import('./alone.ts'),
    import('./sidecar.ts'),
  ])
  return createAlone(createSidecar(loaded, log, host))
}

/**
 * Listens for SIGTERM and SIGINT from now on; in a worker for SIGHUP too, which is the primary's to heed.
 *
 * @returns `Host.onSignal`.
 */
function hearSignals(): Host['onSignal'] {
  const early: string[] = []
  let heard = (signal: string) => {
    early.push(signal)
  }
  for (const signal of ['SIGTERM', 'SIGINT', ...(cluster.isWorker ? ['SIGHUP'] : [])]) {
    process.on(signal, () => {
      heard(signal)
    })
  }
  return heed => {
    heard = heed
    early.forEach(heed)
  }
}

/** Starts a worker: this program again, which then finds that it is one. */
function fork(): Child {
  const worker = cluster.fork()
  worker.on('error', () => undefined)
  return {
    id: worker.id,
    pid: worker.process.pid ?? 0,
    send: order => {
      if (worker.isConnected()) worker.send(order)
    },
    kill: () => worker.process.kill('SIGKILL'),
    onMessage: heed => worker.on('message', heed),
    onEnded: heed => {
      let isHeard = false
      let how: string | undefined
      const look = () => {
        if (isHeard && how !== undefined) heed(how)
      }
      worker.once('disconnect', () => {
        isHeard = true
        look()
      })
      worker.once('exit', (code: number, signal: string | null) => {
        how = signal ?? `exit ${code}`
        look()
      })
      // Where no process could be made, node reports neither.
      if (worker.process.pid === undefined) setImmediate(heed, 'not started')
    },
  }
}

/** The other end of a worker's channel; without one, there is nobody left to work for. */
function primary() {
  const { worker } = cluster
  if (worker === undefined) throw new Error('not a worker')
  process.prependOnceListener('disconnect', () => {
    // Node would end the process itself, and wait for a log that nobody reads.
    worker.exitedAfterDisconnect = true
    host.exit(EXIT.fault, ORPHAN_MS)
  })
  return {
    onMessage: (heed: (message: unknown) => void) => worker.on('message', heed),
    tell: (word: Word) =>
      new Promise<void>(resolve => {
        worker.send(word, () => {
          resolve()
        })
      }),
  }
}

/**
 * Ends the process once its log has been written. While somebody holds the pipe without reading it,
 * a normal exit would wait for ever, in a thread that cannot be told to stop; then it is a kill.
 */
function exitAfter(destination: Destination, code: number, patienceMs: number): void {
  destination.flushSync = () => undefined
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), patienceMs)
  destination.flush(() => process.exit(code))
}
