/**
 * Of two workers one is killed again and again, or stopped so that it hangs, under users.
 *
 * Only what was on its connections breaks; it is replaced; what is counted is not forgotten.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { having, startUsers, tally } from '../client.ts'
import { atMost, every, exactly, told, within, type FaultCase, type Figure } from '../figures.ts'
import { listensAt, metric, type Program } from '../program.ts'
import { patience, secondsUntil } from '../waiting.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const WORKERS = 2
const USERS = 30
const PAUSE_MS = 50
const PATIENCE_MS = 60_000
const RESTARTS = 'alb_auth_worker_restarts_total'
const REQUESTS = 'alb_auth_requests_total'

function workersOf({ pid }: Program): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter(text => text !== '')
    .map(Number)
}

async function workers(world: World): Promise<readonly Figure[]> {
  const kills = world.isShort ? 4 : 10
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({
    ...settingsFor(keys, app.port),
    WORKERS: String(WORKERS),
    DRAIN_DELAY: '0s',
    ACCESS_LOG: 'off',
  })
  const { port } = sidecar
  const serving = () => workersOf(sidecar).filter(pid => listensAt(port, pid)).length
  const headers = signedIn(signer)
  const users = startUsers(world, USERS, PAUSE_MS, () => ({ port, headers }))
  await patience(PATIENCE_MS, () => having(users.outcomes, 200) > 5 * USERS || undefined)

  const killed = { count: 0, sums: [0], broken: 0 }
  /** @returns Seconds until another serves in its place. */
  const kill = async () => {
    const before = having(users.outcomes, 'dropped')
    const [oldest = 0] = workersOf(sidecar)
    process.kill(oldest, 'SIGKILL')
    killed.count++
    const seconds = await secondsUntil(
      async () =>
        (await metric(sidecar, RESTARTS)) === killed.count &&
        !workersOf(sidecar).includes(oldest) &&
        serving() === WORKERS,
      { patienceMs: PATIENCE_MS },
    )
    killed.broken = Math.max(killed.broken, having(users.outcomes, 'dropped') - before)
    killed.sums.push(await metric(sidecar, REQUESTS))
    return seconds
  }
  const figures = [await within('the first that dies is replaced after', 5, kill)]
  while (killed.count < kills) await kill()
  const kept = killed.sums.filter((sum, i) => i > 0 && sum >= (killed.sums[i - 1] ?? 0)).length

  // The other one takes the new connections of a worker that hangs.
  const [hung = 0] = workersOf(sidecar)
  process.kill(hung, 'SIGSTOP')
  const others = startUsers(world, USERS, PAUSE_MS, () => ({
    ...{ port, headers: { ...headers, Connection: 'close' } },
  }))
  await sleep(world.isShort ? 3_000 : 10_000)
  const whileHung = await others.stop()
  process.kill(hung, 'SIGCONT')
  const settled = users.outcomes.length
  await patience(PATIENCE_MS, () => users.outcomes.length > settled + USERS || undefined)
  const outcomes = await users.stop()
  const replaced = await metric(sidecar, RESTARTS)
  sidecar.signal('SIGTERM')
  const how = await sidecar.ended

  return [
    ...figures,
    every('workers killed that were replaced and counted', replaced, killed.count),
    every('times that the sum of requests was no less than before the kill', kept, killed.count),
    every(
      'requests answered 200 or broken with their worker',
      having(outcomes, 200, 'dropped'),
      outcomes.length,
    ),
    atMost('most requests broken by one kill: one a user', killed.broken, USERS),
    every('new connections answered while a worker hung', having(whileHung, 200), whileHung.length),
    exactly('requests hung', having(outcomes, 'hung'), 0),
    every('ended with exit 0', how === 'exit 0' ? 1 : 0, 1),
    told('answers', tally(outcomes)),
  ]
}

export const WORKERS_KILLED: FaultCase = {
  name: 'workers',
  figure: 'R4',
  what: 'of two workers one is killed again and again, or hangs',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 1_200 },
  run: workers,
}
