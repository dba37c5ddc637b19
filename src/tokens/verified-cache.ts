/**
 * Tokens that were verified, until they expire. Only successes: a refusal is always worked out anew.
 *
 * The key is the token's signature segment, and the whole token is compared before an entry is used:
 * two tokens never meet in one entry, whatever an attacker makes of the key. A token has two spellings
 * at most, padded or not, so nobody can fill the cache with variants of one.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { Telemetry } from '../core/telemetry.ts'
import type { SourceName } from '../core/verdict.ts'

/** What an entry may take beside its token, in bytes: claims of the same size, and the map's own. */
const OVERHEAD = 3
const ENTRY_BYTES = 512

export interface VerifiedCacheOptions {
  readonly source: SourceName
  /** Entries at most; 0 turns the cache off. */
  readonly entries: number
  /** Bytes at most, tokens and claims estimated together. */
  readonly bytes: number
  readonly toleranceSeconds: number
  readonly clock: Clock
  readonly telemetry: Pick<Telemetry, 'tokenCacheLookup'>
}

export interface Cacheable {
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** The key that vouched for it, if keys can be withdrawn. */
  readonly key?: { readonly isWithdrawn: boolean }
}

export interface VerifiedCache<T extends Cacheable> {
  /** What this very token was verified to, unless it has expired or its key is no longer listed. */
  readonly get: (token: string) => T | undefined
  readonly set: (token: string, verified: T) => void
}

export function createVerifiedCache<T extends Cacheable>(
  options: VerifiedCacheOptions,
): VerifiedCache<T> {
  const { source, telemetry, clock, toleranceSeconds } = options
  if (options.entries === 0) return { get: () => undefined, set: () => undefined }
  const cache = new LRUCache<string, { readonly token: string; readonly verified: T }>({
    max: options.entries,
    maxSize: options.bytes,
    sizeCalculation: ({ token }) => token.length * OVERHEAD + ENTRY_BYTES,
  })

  return {
    get(token) {
      const key = keyOf(token)
      const found = cache.get(key)
      const isSame = found?.token === token
      if (found !== undefined && isSame && isGood(found.verified)) {
        telemetry.tokenCacheLookup(source, 'hit')
        return found.verified
      }
      if (isSame) cache.delete(key)
      telemetry.tokenCacheLookup(source, 'miss')
      return undefined
    },
    set(token, verified) {
      cache.set(keyOf(token), { token, verified })
    },
  }

  function isGood({ expiresAt, key }: T): boolean {
    return clock.wallSeconds() - expiresAt <= toleranceSeconds && key?.isWithdrawn !== true
  }
}

function keyOf(token: string): string {
  return token.slice(token.lastIndexOf('.') + 1)
}
