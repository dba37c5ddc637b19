/**
 * A long run in which no token comes twice, so that every cache is filled and turned over.
 *
 * Growth is judged between the third and the last fifth of the run, by the lowest that each has seen:
 * a collector that has not been round yet is no leak. For the same reason the heap is kept small: with
 * room for gigabytes it is let grow for minutes before anything is collected.
 */
import { Agent } from 'node:http'
import { send, type Outcome } from '../client.ts'
import { atMost, every, exactly, told, type FaultCase, type Figure } from '../figures.ts'
import { metric, openFiles, residentMb } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const AT_ONCE = 32
const FIFTHS = 5
const SAMPLE_MS = 100
const GROUPS = ['admin', 'dev', 'ops, night', 'ä/ö', '100%']
const FILES_SLACK = 4
const SMALL_HEAP = '--max-old-space-size=160 --max-semi-space-size=4'

/** A user and groups that only this request is about. */
function personOf(number: number) {
  const groups = GROUPS.filter((_, i) => (number >> i) % 2 === 1)
  return { sub: `subject-${number}`, email: `user-${number}@example.com`, groups }
}

/** Whether the application was told of exactly this person, whatever way it was spelt. */
function names(body: string, { email, groups }: ReturnType<typeof personOf>): boolean {
  const [user = '', list = ''] = body.split(/ (.*)/, 2)
  const read = list === '' ? [] : list.split(',').map(decodeURIComponent)
  return user === email && read.sort().join('\n') === groups.toSorted().join('\n')
}

async function distinct(world: World): Promise<readonly Figure[]> {
  const count = world.isShort ? 50_000 : 1_000_000
  const signer = newSigner()
  const keys = await world.keyServer([signer])
  const app = await world.application()
  const sidecar = await world.sidecar({ ...settingsFor(keys, app.port), NODE_OPTIONS: SMALL_HEAP })
  await send({ port: sidecar.port, headers: signedIn(signer) })
  await secondsUntil(async () => (await metric(sidecar, 'alb_auth_upstream_connections')) === 0)
  const files = openFiles(sidecar)

  const samples: { readonly done: number; readonly mb: number }[] = []
  const state = { next: 0, right: 0, wrong: undefined as Outcome | undefined }
  const timer = setInterval(() => {
    samples.push({ done: state.next, mb: residentMb(sidecar) })
  }, SAMPLE_MS)
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      while (state.next < count) {
        const person = personOf(state.next++)
        const headers = signedIn(signer, person)
        const outcome = await send({ agent, port: sidecar.port, headers })
        if (outcome.status === 200 && names(outcome.body, person)) state.right++
        else state.wrong ??= outcome
      }
      agent.destroy()
    }),
  )
  clearInterval(timer)
  const perSecond = count / ((performance.now() - startedAt) / 1000)
  // Counted from one look at the metrics to the next.
  const lag = await metric(sidecar, 'nodejs_eventloop_lag_p99_seconds')
  await secondsUntil(async () => (await metric(sidecar, 'alb_auth_upstream_connections')) === 0)
  await secondsUntil(() => openFiles(sidecar) <= files + FILES_SLACK)

  const lowestIn = (fifth: number) =>
    Math.min(
      ...samples
        .filter(({ done }) => Math.floor((done / count) * FIFTHS) === fifth)
        .map(({ mb }) => mb),
    )
  const grown = lowestIn(4) - lowestIn(2)
  const { wrong } = state
  return [
    every('answers that named their own user and groups', state.right, count),
    ...(wrong === undefined
      ? []
      : [told('the first that did not', `${wrong.status} ${wrong.body} ${wrong.detail}`)]),
    atMost('memory grown from the third fifth to the last', grown, 16, ' MB'),
    exactly(
      `files left open, beyond ${FILES_SLACK}`,
      Math.max(0, openFiles(sidecar) - files - FILES_SLACK),
      0,
    ),
    told(
      'memory, lowest of each fifth',
      `${[0, 1, 2, 3, 4].map(n => lowestIn(n).toFixed(0)).join(', ')} MB`,
    ),
    told('requests a second', perSecond.toFixed(0)),
    told('event loop lag, p99', `${(lag * 1000).toFixed(0)} ms`),
  ]
}

export const MEMORY: FaultCase = {
  name: 'memory',
  figure: 'R6, R12',
  what: 'requests of which no two have the same token',
  lane: 'long',
  limitSeconds: { short: 480, full: 7_200 },
  run: distinct,
}
