/**
 * The two heads of a WebSocket handshake as they go through: asked of the application in our own words,
 * and believed only when the answer fits the question.
 *
 * A proxy that tunnels on anything less than a correct 101 lets a client talk to the application past
 * it, in a connection of which the application thinks it is still HTTP.
 *
 * @see RFC 6455 §4.1, §4.2.2
 */
import { createHash } from 'node:crypto'
import { HOP_BY_HOP, connectionOptions, pairs, valuesOf, type HeaderList } from '../core/headers.ts'

/** RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** What both sides say of their connection, in our words. */
export const SWITCHING: HeaderList = ['Connection', 'Upgrade', 'Upgrade', 'websocket']

/**
 * @param asked The header list of the request.
 * @param answered The header list of the 101.
 * @returns The 101 as it goes to the client, ready to be written, or `undefined` when it does not
 *   accept the WebSocket that was asked for.
 */
export function switchedHead(asked: HeaderList, answered: HeaderList): string | undefined {
  const [key, ...otherKeys] = valuesOf(asked, 'sec-websocket-key')
  const protocols = valuesOf(answered, 'upgrade')
  const accepts = valuesOf(answered, 'sec-websocket-accept')
  const options = connectionOptions(answered)
  if (key === undefined || otherKeys.length > 0) return undefined
  if (protocols.length !== 1 || protocols[0]?.toLowerCase() !== 'websocket') return undefined
  if (accepts.length !== 1 || accepts[0] !== acceptFor(key)) return undefined
  if (!options.has('upgrade')) return undefined

  const lines = ['HTTP/1.1 101 Switching Protocols']
  for (const [name, value] of pairs([...SWITCHING, ...endToEnd(answered, options)])) {
    lines.push(`${name}: ${value}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** What is left without what belongs to one connection or frames a body, which a 101 has not. */
function endToEnd(answered: HeaderList, options: ReadonlySet<string>): HeaderList {
  return [...pairs(answered)]
    .filter(([name]) => {
      const lower = name.toLowerCase()
      const belongsHere = HOP_BY_HOP.has(lower) || lower === 'content-length'
      return !belongsHere && (!options.has(lower) || lower === 'sec-websocket-accept')
    })
    .flat()
}

function acceptFor(key: string): string {
  return createHash('sha1').update(`${key}${GUID}`).digest('base64')
}
