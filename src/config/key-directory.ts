/**
 * Reads `ALB_KEYS_DIR`: keys that an operator carried into a network without egress.
 */
import type { KeyObject } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expected } from '../core/expected.ts'
import { parsePublicKey } from '../tokens/pem-key.ts'
import { Unreadable } from './readers.ts'

/** What no token can name would never be used. */
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * @param directory Every `*.pem` in it must be named for its `kid`, a UUID, and hold one P-256 public
 *   key; other files are left alone.
 * @returns The keys by `kid` in lower case.
 */
export function keyDirectory(directory: string): ReadonlyMap<string, KeyObject> {
  const files = reading(directory, () => readdirSync(directory)).filter(name =>
    name.endsWith('.pem'),
  )
  return new Map(
    files.map(name => {
      const kid = basename(name, '.pem').toLowerCase()
      if (!UUID.test(kid)) {
        throw new Unreadable(`has ${name}, which must be named <kid>.pem: the kid is a UUID`)
      }
      const file = join(directory, name)
      const key = parsePublicKey(reading(file, () => readFileSync(file, 'latin1')))
      if (typeof key === 'string') throw new Unreadable(`has ${name}, which is ${key}`)
      return [kid, key]
    }),
  )
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new Unreadable(`cannot be read: ${path}: ${expected(error, Error).message}`)
  }
}
