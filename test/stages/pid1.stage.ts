/**
 * The built program as process 1 of a process namespace, as in a container without an init: signals
 * must do what they do elsewhere, and no zombie may be left.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { eventually } from '../attack/rows.ts'
import { SETTINGS } from '../fixtures/sidecar.ts'

t.setTimeout(600_000)
const PATIENCE_MS = 30_000

interface Contained {
  readonly output: () => string
  /** Signals the program from outside of its namespace, as a container runtime does. */
  readonly signal: (name: NodeJS.Signals) => void
  /** Of the program, as the shells tell it. */
  readonly status: Promise<number | null>
  /** The program's own children, dead ones that nobody has reaped included. */
  readonly children: () => readonly Child[]
}

interface Child {
  readonly pid: number
  /** `S`, say, or `Z` for a zombie. */
  readonly state: string
}

async function start(t: Test, settings: Readonly<Record<string, string>>): Promise<Contained> {
  const outer = spawn(
    'unshare',
    ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, 'dist/main.js'],
    {
      env: { PATH: process.env['PATH'], ...SETTINGS, DRAIN_DELAY: '0s', ...settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  t.teardown(() => outer.kill('SIGKILL'))
  let text = ''
  outer.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const status = once(outer, 'close').then(() => outer.exitCode)
  t.ok(await eventually(() => text.includes('"msg":"listening"'), PATIENCE_MS), 'it starts')
  const [inner = 0] = processesUnder(outer.pid ?? 0).map(({ pid }) => pid)
  t.match(readFileSync(`/proc/${inner}/status`, 'utf8'), /^NSpid:\s+\d+\s+1$/m, 'it is process 1')
  return {
    status,
    output: () => text,
    signal: name => process.kill(inner, name),
    children: () => processesUnder(inner),
  }
}

function processesUnder(parent: number): Child[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
        const [state = '', of] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return Number(of) === parent ? [{ pid: Number(name), state }] : []
      } catch {
        return []
      }
    })
}

for (const WORKERS of ['1', '2']) {
  t.test(`WORKERS=${WORKERS}`, async t => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const { signal: send, status, output } = await start(t, { WORKERS })
      send(signal)
      t.equal(await status, 0, `${signal} drains`)
      t.match(output(), /"msg":"drained"/)
    }
    const { signal: send, status } = await start(t, { WORKERS, DRAIN_DELAY: '10m' })
    send('SIGTERM')
    send('SIGINT')
    t.equal(await status, 1, 'a second one ends it at once')
  })
}

t.test('workers that die leave no zombies', async t => {
  const { signal, status, children, output } = await start(t, { WORKERS: '2' })
  for (const { pid } of children()) process.kill(pid, 'SIGKILL')
  const isReplaced = () => output().match(/in place of another/g)?.length === 2
  t.ok(await eventually(isReplaced, PATIENCE_MS), 'both are replaced')
  const isClean = () => children().length === 2 && children().every(({ state }) => state !== 'Z')
  t.ok(await eventually(isClean, PATIENCE_MS), 'and reaped')
  signal('SIGTERM')
  t.equal(await status, 0)
})
