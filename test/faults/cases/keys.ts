/**
 * The key endpoint is away, or answers what it should not.
 *
 * `KEY_CACHE_TTL=1s` stands in for a fast clock: keys grow stale within a second instead of a day, so
 * that an outage of n seconds is one of n lifetimes, all of it served from keys that should be renewed.
 */
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateKeyPairSync } from 'node:crypto'
import {
  startKeyServer,
  type AnswerKeyRequest,
  type KeyServer,
} from '../../../simulator/key-server.ts'
import type { Signer } from '../../../simulator/signer.ts'
import { having, send, startUsers } from '../client.ts'
import { atMost, every, exactly, told, within, type FaultCase, type Figure } from '../figures.ts'
import { lastingPort } from '../ports.ts'
import { metric, residentMb, type Program } from '../program.ts'
import { secondsUntil } from '../waiting.ts'
import { newSigner, settingsFor, signedIn, type World } from '../world.ts'

const USERS = 20
const PAUSE_MS = 100
const PROBE_MS = 250
/** The end of each outage, in which nobody comes with a new key. */
const QUIET_MS = 3_000

interface Outage {
  readonly begin: (endpoint: Endpoint) => Promise<void>
  readonly end: (endpoint: Endpoint) => Promise<void>
}

const away = (answer: AnswerKeyRequest): Outage => ({
  begin: async endpoint => {
    endpoint.answer(answer)
  },
  end: async endpoint => {
    endpoint.answer(undefined)
  },
})

const answering =
  (
    status: number,
    body: string,
    headers: Readonly<Record<string, string>> = {},
  ): AnswerKeyRequest =>
  (_request, response) => {
    response.writeHead(status, headers).end(body)
    return true
  }

/** Three ways to be away; each is begun and ended. */
const OUTAGES: Readonly<Record<string, Outage>> = {
  'refuses connections': {
    begin: endpoint => endpoint.close(),
    end: endpoint => endpoint.open(),
  },
  'never answers': away(() => true),
  'answers 503': away(answering(503, '')),
}

/** A key server that can go away and come back to its port. */
interface Endpoint {
  readonly url: string
  readonly publish: (signer: Signer) => void
  readonly answer: (answer: AnswerKeyRequest | undefined) => void
  readonly open: () => Promise<void>
  readonly close: () => Promise<void>
}

/** On a port that it can come back to. */
async function startEndpoint(world: World): Promise<Endpoint> {
  const port = await lastingPort()
  const signers: Signer[] = []
  let server: KeyServer = await startKeyServer({ port })
  let isOpen = true
  const close = async () => {
    if (!isOpen) return
    isOpen = false
    await server.close()
  }
  world.onEnd(close)
  return {
    url: server.url,
    publish: signer => {
      signers.push(signer)
      server.publish(signer)
    },
    answer: answer => {
      server.answer = answer
    },
    open: async () => {
      server = await startKeyServer({ port, keys: signers })
      isOpen = true
    },
    close,
  }
}

/** A request by a user whose key was never asked for. */
const askAs = (sidecar: Program, signer: Signer) =>
  send({ port: sidecar.port, headers: signedIn(signer) })

/** @throws When its users are not served before anything is wrong. */
async function becomeKnown(sidecar: Program, signer: Signer): Promise<void> {
  const isServed = async () => (await askAs(sidecar, signer)).status === 200
  if ((await secondsUntil(isServed, { pollMs: 1_000 })) === Infinity) {
    throw new Error('a user is not served though nothing is wrong')
  }
}

async function down(world: World): Promise<readonly Figure[]> {
  const outageMs = world.isShort ? 5_000 : 200_000
  const endpoint = await startEndpoint(world)
  const known = newSigner()
  endpoint.publish(known)
  const app = await world.application()
  const sidecar = await world.sidecar({
    ...settingsFor(endpoint, app.port),
    ...{ KEY_CACHE_TTL: '1s', KEY_FETCH_TIMEOUT: '2s' },
    TOKEN_CACHE_SIZE: '0',
  })
  await becomeKnown(sidecar, known)
  const users = startUsers(world, USERS, PAUSE_MS, () => ({
    ...{ port: sidecar.port, headers: signedIn(known) },
  }))

  const figures: Figure[] = []
  const strangers: number[] = []
  const startedAt = performance.now()
  for (const [how, { begin, end }] of Object.entries(OUTAGES)) {
    await begin(endpoint)
    const until = performance.now() + outageMs - QUIET_MS
    const answers = await within(`endpoint ${how}: a new key is answered in`, 3, async () => {
      const asked = await Promise.all([1, 2].map(() => askAs(sidecar, newSigner())))
      strangers.push(...asked.map(({ status }) => (status === 503 ? 1 : 0)))
      return Math.max(...asked.map(({ seconds }) => seconds))
    })
    await sleep(Math.max(0, until - performance.now()))
    const tried = await metric(sidecar, 'alb_auth_key_fetches_total')
    const quietSince = performance.now()
    await sleep(QUIET_MS)
    const renewals = (await metric(sidecar, 'alb_auth_key_fetches_total')) - tried
    const quiet = (performance.now() - quietSince) / 1000
    await end(endpoint)
    const recovery = await within(`endpoint ${how}: a new key is served again in`, 2, async () => {
      const signer = newSigner()
      endpoint.publish(signer)
      await begin(endpoint)
      const state = { endedAt: Infinity }
      // Ends at no particular moment of the attempts that are under way.
      void sleep(600 + Math.random() * 2_000)
        .then(() => end(endpoint))
        .then(() => {
          state.endedAt = performance.now()
        })
      const from = performance.now()
      const total = await secondsUntil(async () => (await askAs(sidecar, signer)).status === 200, {
        ...{ from, pollMs: PROBE_MS },
      })
      return total - (state.endedAt - from) / 1000
    })
    figures.push(
      answers,
      atMost(
        `endpoint ${how}: renewals tried in ${quiet.toFixed(0)} s`,
        renewals,
        Math.ceil(quiet) + 1,
      ),
      recovery,
    )
  }
  const seconds = (performance.now() - startedAt) / 1000
  const outcomes = await users.stop()
  return [
    every('users with a cached key who were served', having(outcomes, 200), outcomes.length),
    every('new keys answered 503, not 401', having503(strangers), strangers.length),
    ...figures,
    told('outage, in lifetimes of a key (KEY_CACHE_TTL=1s)', seconds.toFixed(0)),
  ]
}

const having503 = (strangers: readonly number[]): number => strangers.reduce((a, b) => a + b, 0)

const PEM = (curve: string) =>
  generateKeyPairSync('ec', { namedCurve: curve })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()

/** One byte after the other. */
const drip: AnswerKeyRequest = (_request, response) => {
  response.writeHead(200)
  const timer = setInterval(() => response.write('-'), 100)
  response.once('close', () => {
    clearInterval(timer)
  })
  return true
}

/** As much as anybody takes. */
const flow: AnswerKeyRequest = (_request, response) => {
  const chunk = Buffer.alloc(65_536, 'x')
  const pour = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.writeHead(200).on('drain', pour)
  pour()
  return true
}

async function odd(world: World): Promise<readonly Figure[]> {
  const known = newSigner()
  const keys = await world.keyServer([known])
  const app = await world.application()
  const sidecar = await world.sidecar({
    ...settingsFor(keys, app.port),
    KEY_FETCH_TIMEOUT: '2s',
  })
  await becomeKnown(sidecar, known)
  const state = { redirected: 0 }
  const elsewhere = createServer((_request, response) => {
    state.redirected++
    response.end(PEM('P-256'))
  })
  const trap = `http://127.0.0.1:${await world.listen(elsewhere)}/`
  const users = startUsers(world, USERS, PAUSE_MS, () => ({
    ...{ port: sidecar.port, headers: signedIn(known) },
  }))
  await secondsUntil(() => users.outcomes.length >= USERS)
  const before = residentMb(sidecar)

  const rows: readonly (readonly [string, AnswerKeyRequest, number])[] = [
    ['drips', drip, 503],
    ['never ends', flow, 503],
    ['redirects', answering(302, '', { Location: trap }), 503],
    ['sends HTML', answering(200, '<html><body>welcome</body></html>'), 503],
    ['sends nothing', answering(200, ''), 503],
    ['sends a key of another curve', answering(200, PEM('P-384')), 503],
    ["sends somebody else's key", answering(200, PEM('P-256')), 401],
    ['says 403', answering(403, '<Error/>'), 401],
  ]
  const figures: Figure[] = []
  for (const [what, answer, wanted] of rows) {
    keys.answer = answer
    let status = 'nothing'
    const timed = await within(`endpoint ${what}: answered in`, 3, async () => {
      const outcome = await askAs(sidecar, newSigner())
      status = String(outcome.status)
      // Each new key costs one of those that may be asked for in a second.
      await sleep(500)
      return outcome.seconds
    })
    figures.push(
      {
        what: `endpoint ${what}: a new key`,
        measured: status,
        bound: String(wanted),
        held: status === String(wanted),
      },
      timed,
    )
  }
  keys.answer = undefined
  const back = (what: string, limit: number, answer: AnswerKeyRequest) =>
    within(what, limit, async () => {
      await sleep(1_500)
      const signer = newSigner()
      keys.publish(signer)
      keys.answer = answer
      await askAs(sidecar, signer)
      keys.answer = undefined
      return secondsUntil(async () => (await askAs(sidecar, signer)).status === 200, {
        pollMs: PROBE_MS,
      })
    })
  figures.push(await back('back after one 503', 2, answering(503, '')))
  // KEY_NEGATIVE_TTL is ten seconds; who asks every quarter of one learns of its end a little later.
  figures.push(await back('back after one 403 (KEY_NEGATIVE_TTL=10s)', 10.5, answering(403, '')))
  const grown = residentMb(sidecar) - before
  const outcomes = await users.stop()
  return [
    every('users with a cached key who were served', having(outcomes, 200), outcomes.length),
    ...figures,
    exactly('requests that followed a redirect', state.redirected, 0),
    atMost('memory grown', grown, 64, ' MB'),
  ]
}

export const KEYS_DOWN: FaultCase = {
  name: 'keys-down',
  figure: 'R3',
  what: 'the key endpoint is away',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 1_500 },
  run: down,
}

export const KEYS_ODD: FaultCase = {
  name: 'keys-odd',
  figure: 'R3, R10',
  what: 'the key endpoint answers what it should not',
  lane: 'waiting',
  limitSeconds: { short: 300, full: 600 },
  run: odd,
}
