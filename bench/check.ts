/**
 * Before anything is measured: one request to each peer of a case, looked at in full. Who verifies must
 * tell the application the verified user and not the forged one, and must not let a forgery through.
 */

import { type IncomingMessage, request as ask } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Contender } from './cases.ts'
import { type Peer, VERIFIES } from './peers/peers.ts'
import { type RequestSpec, type Tokens, fieldsOf } from './requests.ts'
import { EMAIL } from './tokens.ts'

const FORGED_IDENTITY = { 'X-Forwarded-User': 'mallory@example.com' }

export interface Answer {
  readonly status: number
  readonly body: string
}

/** The n-th request of a spec, on a connection of its own. */
export async function exchange(
  url: string,
  spec: RequestSpec,
  tokens: Tokens,
  extra: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const body = 'b'.repeat(spec.bodyBytes ?? 0)
  const headers = { ...(await fieldsOf(spec, tokens, 0)), ...extra, 'Content-Length': body.length }
  const method = body === '' ? 'GET' : 'POST'
  const request = ask(`${url}${spec.path}`, { method, headers, agent: false }).end(body)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject)
  })
  return { status: response.statusCode ?? 0, body: await text(response) }
}

/** @throws When an answer is wrong. */
export async function check(
  { who, peer: { kind }, request }: Contender,
  { url }: Peer,
  tokens: Tokens,
): Promise<void> {
  const expect = (what: string, { status, body }: Answer, wanted: Answer) => {
    if (status === wanted.status && body === wanted.body) return
    const got = `${status} ${body.slice(0, 200)}`
    throw new Error(
      `${who}, ${what}: wanted ${wanted.status} ${wanted.body.slice(0, 200)}, got ${got}`,
    )
  }
  const { path, forged = false, albTokens } = request
  const [, size] = /bytes\/(\d+)$/.exec(path) ?? []
  const answer = await exchange(url, request, tokens)
  if (forged) {
    if (answer.status !== 401) expect('forged', answer, { status: 401, body: '' })
    return
  }
  expect('answer', answer, {
    status: 200,
    body: size === undefined ? 'ok' : '\0'.repeat(Number(size)),
  })
  if (!VERIFIES.has(kind)) return
  const open = albTokens === undefined
  const whoami = { ...request, path: open ? '/open/whoami' : '/api/whoami', bodyBytes: 0 }
  const told = await exchange(url, whoami, tokens, FORGED_IDENTITY)
  // Only the sidecar cleans what goes to open paths.
  if (!open) expect('told', told, { status: 200, body: `user=${EMAIL};` })
  else if (kind === 'sidecar') expect('told', told, { status: 200, body: 'user=;' })
}
