/**
 * What an attack of the campaign is made of: bytes for one connection, and the requests in them that a
 * victim is to be made to see.
 */
import { lines } from '../fixtures/raw.ts'

export interface Attack {
  readonly family: string
  readonly name: string
  /** Latin-1; each is written on its own. */
  readonly pieces: readonly string[]
}

/** Whoever gets here without a name has got past: it is a guarded path, and there is no token with it. */
export const SMUGGLED_PATH = '/smuggled'

/** A whole request that nobody judged, if it is seen as one. */
export const SMUGGLED = lines(
  `GET ${SMUGGLED_PATH} HTTP/1.1`,
  ...['Host: a', 'X-Forwarded-User: mallory', 'X-Forwarded-Groups: admins', 'Content-Length: 0'],
)

/** Who may ask: nobody on an open path, or the user of this token. */
export interface Credentials {
  readonly token: string
}

/** The first lines of a request that is let through but for what comes behind them. */
export const openHead = (method: string, path = '/open/a'): string[] => [
  `${method} ${path} HTTP/1.1`,
  'Host: a',
]

export const guardedHead = (method: string, { token }: Credentials, path = '/a'): string[] => [
  ...[`${method} ${path} HTTP/1.1`, 'Host: a', `X-Amzn-Oidc-Data: ${token}`],
]

/** A body in chunks. */
export const chunked = (...chunks: readonly string[]): string =>
  `${chunks.map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`
