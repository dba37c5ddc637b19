/**
 * The sidecar is replaced by a new process again and again, by SIGTERM, behind a balancer that acts on
 * `/readyz`, while users with kept-alive connections go on asking.
 */
import { having, startUsers, tally } from '../client.ts'
import { startBalancer } from '../balancer.ts'
import { atMost, every, exactly, median, told, type FaultCase, type Figure } from '../figures.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 50
const PAUSE_MS = 100
/** As they are unless set. */
const DELAY_SECONDS = 5
const TIMEOUT_SECONDS = 25

async function restarts(world: World): Promise<readonly Figure[]> {
  const rounds = world.isShort ? 8 : 100
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const balancer = await startBalancer(world)
  const start = async () => {
    const sidecar = await world.sidecar({
      ...settingsFor(keys, app.port),
      DRAIN_DELAY: `${DELAY_SECONDS}s`,
      DRAIN_TIMEOUT: `${TIMEOUT_SECONDS}s`,
      ACCESS_LOG: 'off',
    })
    await balancer.register(sidecar)
    return sidecar
  }
  const headers = signedIn(signer)
  let current = await start()
  const users = startUsers(world, USERS, PAUSE_MS, (user, turn) => ({
    ...{ port: balancer.port, headers },
    // Some are still being answered when the listener closes.
    path: turn % 10 === 0 ? '/?ms=1500' : '/',
    ...(user % 5 === 0 && { method: 'POST', body: 'x'.repeat(20_000) }),
  }))
  const exits: string[] = []
  const seconds: number[] = []
  const leaving: Promise<void>[] = []
  for (let round = 0; round < rounds; round++) {
    const next = await start()
    const old = current
    current = next
    const at = performance.now()
    old.signal('SIGTERM')
    leaving.push(
      old.ended.then(how => {
        exits.push(how)
        seconds.push((performance.now() - at) / 1000)
      }),
    )
    // At most three leave at a time.
    await leaving.at(-3)
  }
  await Promise.all(leaving)
  const outcomes = await users.stop()
  return [
    exactly('requests dropped or reset', having(outcomes, 'dropped'), 0, outcomes.length),
    exactly('requests hung', having(outcomes, 'hung'), 0),
    every('requests answered 200', having(outcomes, 200), outcomes.length),
    every('processes that ended with exit 0', exits.filter(how => how === 'exit 0').length, rounds),
    atMost(
      `longest exit (DRAIN_DELAY=${DELAY_SECONDS}s, DRAIN_TIMEOUT=${TIMEOUT_SECONDS}s)`,
      Math.max(...seconds),
      DELAY_SECONDS + TIMEOUT_SECONDS + 1,
      ' s',
    ),
    told('median exit', `${median(seconds).toFixed(1)} s`),
    told('answers', tally(outcomes)),
  ]
}

export const RESTARTS: FaultCase = {
  name: 'restarts',
  figure: 'R5',
  what: 'the sidecar is replaced by SIGTERM under 50 users with kept-alive connections',
  lane: 'busy',
  limitSeconds: { short: 300, full: 1_200 },
  run: restarts,
}
