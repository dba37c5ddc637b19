/**
 * Somebody names a new key with every request, five times as fast as all users together ask.
 *
 * The key endpoint may be asked for ten unknown keys at once and then for one a second; the users, whose
 * key is known, never wait behind that.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { having, startUsers, tally } from '../client.ts'
import { atMost, every, quantile, told, type FaultCase, type Figure } from '../figures.ts'
import { metric } from '../program.ts'
import { ALICE, newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 10
const PAUSE_MS = 100
const TIMES = 5
/** Of the token bucket: at once, and then each second. */
const BURST = 10

async function flood(world: World): Promise<readonly Figure[]> {
  const forMs = world.isShort ? 9_000 : 60_000
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({ ...settingsFor(keys, app.port), ACCESS_LOG: 'off' })
  const asUser = () => ({ port: sidecar.port, headers: signedIn(signer) })
  const asForger = () => ({
    port: sidecar.port,
    headers: { 'X-Amzn-Oidc-Data': signer.sign(ALICE, { header: { kid: randomUUID() } }) },
  })

  const calm = startUsers(world, USERS, PAUSE_MS, asUser)
  await sleep(3_000)
  const before = await calm.stop()
  const asked = keys.requests.length

  const startedAt = performance.now()
  const users = startUsers(world, USERS, PAUSE_MS, asUser)
  const forgers = startUsers(world, USERS * TIMES, PAUSE_MS, asForger)
  await sleep(forMs)
  const [served, turned] = await Promise.all([users.stop(), forgers.stop()])
  const seconds = (performance.now() - startedAt) / 1000

  const p99 = (outcomes: readonly { readonly seconds: number }[]) =>
    quantile(
      outcomes.map(outcome => outcome.seconds),
      0.99,
    ) * 1000
  return [
    every('users served', having(served, 200), served.length),
    every('forged tokens turned away (401, 503)', having(turned, 401, 503), turned.length),
    atMost(
      `keys fetched in ${seconds.toFixed(0)} s of flood (burst ${BURST}, then one a second)`,
      keys.requests.length - asked,
      BURST + Math.ceil(seconds),
    ),
    told('forged tokens', tally(turned)),
    told('look-ups', `${await metric(sidecar, 'alb_auth_key_cache_lookups_total')} in all`),
    told(
      'p99 of users, calm and under flood',
      `${p99(before).toFixed(0)} ms, ${p99(served).toFixed(0)} ms`,
    ),
  ]
}

export const FLOOD: FaultCase = {
  name: 'flood',
  figure: 'R8',
  what: 'tokens that name random keys, at five times the rate of all users',
  lane: 'busy',
  limitSeconds: { short: 300, full: 600 },
  run: flood,
}
