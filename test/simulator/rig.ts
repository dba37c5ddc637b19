/**
 * The simulator in front of an application that says what it got, with a clock that a test can move.
 */
import { createPublicKey, verify } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { ask, close, headerList, listen } from '../../simulator/loopback.ts'
import { startSimulator, type Simulator, type SimulatorOptions } from '../../simulator/simulator.ts'
import { createVisitor, type Page, type Visitor } from '../../simulator/visitor.ts'

export const ALICE = { name: 'alice', password: 'password' } as const
export const BOB = { name: 'bob', password: 'password' } as const

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** What arrived, as JSON: `{url, headers: [[name, value], …]}`. */
export const echo: Handler = (request, response) => {
  response.end(JSON.stringify({ url: request.url, headers: headerList(request) }))
}

/** An application on a free port. */
export async function startApp(t: Pick<Test, 'teardown'>, handler: Handler = echo) {
  const server = createServer({ maxHeaderSize: 98_304 }, handler)
  const url = await listen(server, 0)
  t.teardown(() => close(server))
  return { url, server }
}

export interface Rig extends Simulator {
  /** The load balancer's clock, in milliseconds ahead of ours. */
  readonly clock: { ahead: number }
  /** A new visitor who has signed in. */
  readonly signedIn: (who?: typeof ALICE | typeof BOB, path?: string) => Promise<Visitor>
}

export async function startRig(
  t: Pick<Test, 'teardown'>,
  options: SimulatorOptions = {},
): Promise<Rig> {
  const clock = { ahead: 0 }
  const simulator = await startSimulator({
    ...{ now: () => Date.now() + clock.ahead, providerTimeoutSeconds: 60 },
    ...options,
  })
  t.teardown(simulator.close)
  return {
    ...simulator,
    clock,
    signedIn: async (who = ALICE, path = '/') => {
      const visitor = createVisitor()
      await visitor.signIn(`${simulator.alb.url}${path}`, who)
      return visitor
    },
  }
}

/** What {@link echo} said: the values of one header. */
export function arrived({ body }: Pick<Page, 'body'>, name: string): string[] {
  const { headers } = JSON.parse(body) as { headers: [string, string][] }
  return headers.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value)
}

/** The header and payload of a token; fails unless it is signed by the key that is served. */
export async function verified(t: Test, { keyUrl }: Simulator, token: string) {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const parse = (segment: string) =>
    JSON.parse(Buffer.from(segment, 'base64url').toString()) as Record<string, unknown>
  const { kid } = parse(header)
  const url = new URL(keyUrl.replace('{region}', 'eu-central-1').replace('{kid}', String(kid)))
  const { status, body } = await ask(url.origin, url.pathname)
  t.equal(status, 200, 'the key is served')
  const key = { key: createPublicKey(body), dsaEncoding: 'ieee-p1363' } as const
  const signed = Buffer.from(`${header}.${payload}`)
  t.ok(verify('sha256', signed, key, Buffer.from(signature, 'base64url')), 'the signature holds')
  t.ok(
    [header, payload, signature].every(each => each.length % 4 === 0),
    'padded',
  )
  return { header: parse(header), payload: parse(payload) }
}

/** Until it is so; thirty seconds at most. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + 30_000
  while (!(await isSo())) {
    if (Date.now() > deadline) return false
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return true
}
