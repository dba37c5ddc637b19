/**
 * Serves public keys as `public-keys.auth.elb.<region>.amazonaws.com` does: one bare PEM a `kid`, the
 * keys of every load balancer of a region side by side, and S3's 403 for a `kid` it does not have.
 *
 * Faults are the caller's to inject, through {@link KeyServer.answer}.
 */

import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { close, listen } from './loopback.ts'
import type { Signer } from './signer.ts'

/** The part of a signer that is no secret. */
export type PublishedKey = Pick<Signer, 'kid' | 'publicKeyPem'>

/** Answers in the server's stead; `true` when it did, or means to. */
export type AnswerKeyRequest = (
  request: IncomingMessage,
  response: ServerResponse,
  kid: string,
) => boolean

export interface KeyServer {
  readonly url: string
  /** The path of every request so far. */
  readonly requests: string[]
  answer: AnswerKeyRequest | undefined
  readonly publish: (key: PublishedKey) => void
  readonly withdraw: (kid: string) => void
  readonly close: () => Promise<void>
}

export interface KeyServerOptions {
  /** Default 0: any free one. */
  readonly port?: number
  readonly keys?: readonly PublishedKey[]
}

const ACCESS_DENIED = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`

/** Serves `/<kid>` and `/<region>/<kid>`, every key in every region. */
export async function startKeyServer({
  port = 0,
  keys = [],
}: KeyServerOptions = {}): Promise<KeyServer> {
  const published = new Map(keys.map(key => [key.kid, key.publicKeyPem]))

  const server = createServer((request, response) => {
    const path = request.url ?? ''
    keyServer.requests.push(path)
    const kid = /^\/(?:[^/]+\/)?([^/]+)$/.exec(path)?.[1] ?? ''
    if (keyServer.answer?.(request, response, kid)) return
    const pem = published.get(kid)
    if (pem === undefined) {
      response.writeHead(403, { 'Content-Type': 'application/xml' }).end(ACCESS_DENIED)
    } else {
      response.writeHead(200, { 'Content-Type': 'binary/octet-stream' }).end(pem)
    }
  })

  const keyServer: KeyServer = {
    url: await listen(server, port),
    requests: [],
    answer: undefined,
    publish: key => {
      published.set(key.kid, key.publicKeyPem)
    },
    withdraw: kid => {
      published.delete(kid)
    },
    close: () => close(server),
  }
  return keyServer
}
