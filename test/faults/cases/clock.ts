/**
 * The wall clock is stepped by half a minute, both ways (libfaketime).
 *
 * What counts for a token is the time that it is, whatever was remembered of it: at each step a token
 * that was verified before must be judged as one that never was.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSigner } from '../../../simulator/signer.ts'
import { having, send, startUsers } from '../client.ts'
import { every, exactly, told, type FaultCase, type Figure } from '../figures.ts'
import { clockFrom } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { ALICE, ARN, CLIENT, ISSUER, settingsFor, type World } from '../world.ts'

const STEPS = [0, 30, -30, 0, -30, 30, 0]
/** How much longer than the sidecar's clock says a token is good (CLOCK_TOLERANCE). */
const TOLERANCE = 5
/** Expiry of tokens, in seconds from the start; far enough from every step to tell them apart. */
const EXPIRIES = [-1_000, -15, 1_000, 15, 60]
/** Nearer than this to its limit, a token may go either way while we ask. */
const MARGIN = 6

async function steps(world: World): Promise<readonly Figure[]> {
  const file = join(world.folder(), 'clock')
  /** Whole at any moment, since it is read at any moment. */
  const setClock = (seconds: number) => {
    writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    renameSync(`${file}.new`, file)
  }
  setClock(0)
  const clock = clockFrom(file)
  if (!existsSync(clock['LD_PRELOAD'] ?? '')) {
    throw new Error('libfaketime is not installed (Debian: apt-get install faketime)')
  }
  // As an ALB's, for two minutes from the true now.
  const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar(
    { ...settingsFor(keys, app.port), ACCESS_LOG: 'off', CLOCK_TOLERANCE: `${TOLERANCE}s` },
    { env: clock },
  )
  const headersOf = (token: string) => ({ 'X-Amzn-Oidc-Data': token })
  const ask = async (token: string) =>
    (await send({ port: sidecar.port, headers: headersOf(token) })).status
  await ask(signer.sign(ALICE))
  const users = startUsers(world, 10, 50, () => ({
    ...{ port: sidecar.port, headers: headersOf(signer.sign(ALICE)) },
  }))

  const start = Date.now() / 1000
  const tokens = EXPIRIES.map(offset => {
    const exp = Math.floor(start) + offset
    const mint = () => signer.sign(ALICE, { header: { exp }, payload: { exp } })
    return { exp, mint, kept: mint() }
  })
  const state = { asked: 0, wrong: [] as string[], clocksSeen: 0 }
  for (const step of STEPS) {
    setClock(step)
    // The canary expires when the clock of the sidecar says so: from then on it has been stepped.
    const seen = await secondsUntil(async () => {
      const now = Date.now() / 1000 + step
      const canary = (ahead: number) => {
        const exp = Math.floor(now + ahead - TOLERANCE)
        return ask(signer.sign(ALICE, { header: { exp }, payload: { exp } }))
      }
      return (await canary(10)) === 200 && (await canary(-10)) === 401
    })
    if (seen < Infinity) state.clocksSeen++
    for (const { exp, mint, kept } of tokens) {
      const left = exp + TOLERANCE - (Date.now() / 1000 + step)
      if (Math.abs(left) < MARGIN) continue
      const wanted = left > 0 ? 200 : 401
      for (const token of [kept, mint()]) {
        const status = await ask(token)
        state.asked++
        if (status !== wanted) state.wrong.push(`${status} at ${step} for ${left.toFixed(0)} s`)
      }
    }
  }
  const outcomes = await users.stop()
  return [
    exactly('clocks that the sidecar went by', state.clocksSeen, STEPS.length),
    exactly('wrong verdicts, remembered tokens and new ones', state.wrong.length, 0, state.asked),
    ...state.wrong.slice(0, 1).map(text => told('the first', text)),
    every('users with tokens of two minutes served', having(outcomes, 200), outcomes.length),
    exactly('key fetches, one of them the first', keys.requests.length, 1),
  ]
}

export const CLOCK: FaultCase = {
  name: 'clock',
  figure: 'R11',
  what: 'the wall clock is stepped by ±30 s',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 600 },
  run: steps,
}
