/**
 * A process is stopped (SIGSTOP) and goes on later: the sidecar, as when its container is paused; the
 * application, as when it hangs with its port open.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { having, send, startUsers, tally, type Outcome } from '../client.ts'
import { every, exactly, told, within, type FaultCase, type Figure } from '../figures.ts'
import { metric } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { ALICE, OPEN, newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 10
const PAUSE_MS = 50
const HEADERS_TIMEOUT = 2

const pauseSeconds = ({ isShort }: World) => (isShort ? 8 : 60)

async function ourselves(world: World): Promise<readonly Figure[]> {
  const pause = pauseSeconds(world)
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({ ...settingsFor(keys, app.port), ACCESS_LOG: 'off' })
  const users = startUsers(world, USERS, PAUSE_MS, () => ({
    ...{ port: sidecar.port, headers: signedIn(signer) },
    patienceMs: (pause + 20) * 1000,
  }))
  await secondsUntil(() => having(users.outcomes, 200) >= USERS)
  const soon = Math.floor(Date.now() / 1000) + 2
  const brief = {
    'X-Amzn-Oidc-Data': signer.sign(ALICE, { header: { exp: soon }, payload: { exp: soon } }),
  }
  const before = await send({ port: sidecar.port, headers: brief })
  sidecar.signal('SIGSTOP')
  await sleep(pause * 1000)
  const resumedAt = performance.now()
  sidecar.signal('SIGCONT')
  const after = await send({ port: sidecar.port, headers: brief })
  const count = users.outcomes.length
  await secondsUntil(() => having(users.outcomes.slice(count), 200) >= USERS)
  const first = users.outcomes.find(({ status, endedAt }) => status === 200 && endedAt > resumedAt)
  const outcomes = await users.stop()
  return [
    every('users served, those who waited too', having(outcomes, 200), outcomes.length),
    exactly('verdict on a token before the pause', Number(before.status), 200),
    exactly('verdict on it after, expired meanwhile and remembered', Number(after.status), 401),
    told(
      `first answer after a pause of ${pause} s`,
      `${(((first?.endedAt ?? Infinity) - resumedAt) / 1000).toFixed(2)} s`,
    ),
  ]
}

async function application(world: World): Promise<readonly Figure[]> {
  const pause = pauseSeconds(world)
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({
    ...settingsFor(keys, app.port),
    ...{ UPSTREAM_HEADERS_TIMEOUT: `${HEADERS_TIMEOUT}s`, ACCESS_LOG: 'off' },
  })
  const headers = signedIn(signer)
  const users = startUsers(world, USERS, PAUSE_MS, () => ({ port: sidecar.port, headers }))
  const forgers = startUsers(world, USERS, PAUSE_MS, () => ({ port: sidecar.port }))
  await secondsUntil(() => having(users.outcomes, 200) >= USERS)

  const stop = async (seconds: number) => {
    app.signal('SIGSTOP')
    const { seconds: taken } = await send({ port: sidecar.port, path: OPEN })
    await sleep(Math.max(0, seconds - taken) * 1000)
    return taken
  }
  const state = { next: pause }
  const ends: number[] = []
  const recovery = await within('first success after the application goes on', 1, async () => {
    ends.push(await stop(state.next))
    state.next = HEADERS_TIMEOUT * 2
    const at = performance.now()
    app.signal('SIGCONT')
    const isServed = ({ status, endedAt }: Outcome) => status === 200 && endedAt > at
    await secondsUntil(() => users.outcomes.some(isServed), { pollMs: 5 })
    return ((users.outcomes.find(isServed)?.endedAt ?? Infinity) - at) / 1000
  })
  const longest = await within(
    `requests end after (UPSTREAM_HEADERS_TIMEOUT=${HEADERS_TIMEOUT}s)`,
    HEADERS_TIMEOUT + 1,
    async () => {
      const taken = ends.shift() ?? (await stop(0))
      app.signal('SIGCONT')
      return taken
    },
  )
  const [outcomes, refused] = await Promise.all([users.stop(), forgers.stop()])
  await secondsUntil(async () => (await metric(sidecar, 'alb_auth_upstream_connections')) === 0)
  return [
    every('answers that are 200 or 504', having(outcomes, 200, 504), outcomes.length),
    exactly('requests hung or broken off', having(outcomes, 'hung', 'dropped'), 0),
    every('refusals meanwhile that need no application', having(refused, 401), refused.length),
    longest,
    recovery,
    exactly(
      'connections to the application left',
      await metric(sidecar, 'alb_auth_upstream_connections'),
      0,
    ),
    told(`answers, ${pause} s and more of pause`, tally(outcomes)),
  ]
}

export const PAUSED: FaultCase = {
  name: 'paused',
  figure: 'R11',
  what: 'the sidecar is stopped and goes on (60 s; 8 s in the short form)',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 600 },
  run: ourselves,
}

export const APPLICATION_PAUSED: FaultCase = {
  name: 'application-paused',
  figure: 'R4',
  what: 'the application is stopped and goes on (60 s; 8 s in the short form)',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 600 },
  run: application,
}
