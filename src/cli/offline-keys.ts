/**
 * Keys from files that `--key` names, in place of every key that the network would give.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { expected } from '../core/expected.ts'
import type { Keys } from '../gate.ts'
import type { KeyFault } from '../tokens/alb-token.ts'
import { KEY_SET, suits, type KeySet, type VerificationKey } from '../tokens/jwks.ts'
import { parsePublicKey } from '../tokens/pem-key.ts'

/** What one file holds: a key for any `kid`, or keys by `kid`. */
type Held =
  | { readonly albKey: KeyObject }
  | { readonly accessKey: VerificationKey }
  | { readonly set: KeySet }

/**
 * @param files What they hold. A PEM key of P-256 is the load balancer's, another one the identity
 *   provider's, whatever `kid` a token names; a JWKS has keys for both, each under its `kid`.
 * @returns The keys, or what is wrong with one of the files.
 */
export function offlineKeys(
  files: readonly { readonly name: string; readonly text: string }[],
): Keys | string {
  const held: Held[] = []
  for (const { name, text } of files) {
    const found = readKeys(text)
    if (typeof found === 'string') return `${name} is ${found}`
    held.push(found)
  }
  const sets = held.flatMap(each => ('set' in each ? [each.set] : []))
  const albKeys = held.flatMap(each => ('albKey' in each ? [each.albKey] : []))
  const accessKeys = held.flatMap(each => ('accessKey' in each ? [each.accessKey] : []))
  const listed = (kid: string) => sets.flatMap(set => set.get(kid) ?? [])
  return {
    alb: (_arn, kid) => {
      const suitable = listed(kid)
        .map(({ key }) => key)
        .find(key => suits(key, 'ES256'))
      return Promise.resolve(suitable ?? albKeys[0] ?? none('for the load balancer'))
    },
    accessToken: kid => {
      const [found] = listed(kid)
      if (found !== undefined) return { ...found, isWithdrawn: false }
      return accessKeys[0] ?? Promise.resolve(none('for the access token'))
    },
  }
}

function none(what: string): KeyFault {
  return { reason: 'key_unknown', detail: `no --key ${what}` }
}

function readKeys(text: string): Held | string {
  if (text.trimStart().startsWith('{')) {
    const set = KEY_SET.parse(text)
    return typeof set === 'string' ? set : { set }
  }
  const albKey = parsePublicKey(text.trimStart())
  if (typeof albKey !== 'string') return { albKey }
  if (!text.includes('-----BEGIN PUBLIC KEY-----')) return 'neither a PEM public key nor a JWKS'
  try {
    const key = createPublicKey(text)
    return { accessKey: { key, thumbprint: '', isWithdrawn: false } }
  } catch (error) {
    expected(error, Error)
    return 'not a public key'
  }
}
