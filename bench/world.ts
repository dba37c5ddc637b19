/** Where things are: the repository, the directory of this run, and the one application behind all proxies. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Compiled code is two folders below the repository. */
const ROOT = new URL('../../', import.meta.url)

export const inRepository = (path: string): string => fileURLToPath(new URL(path, ROOT))
/** What is not compiled: Lua. */
export const inSource = (path: string): string => inRepository(`bench/${path}`)
/** What is. */
export const compiled = (path: string): string => inRepository(`.demo/bench/${path}`)

/** Of one run, and gone with it. */
export interface World {
  readonly directory: string
  /** The application that proxies forward to. */
  readonly upstreamPort: number
  /** Writes a file of this run; @returns its path. */
  readonly write: (name: string, text: string) => string
}

/** A new directory, removed when the process ends. */
export function createDirectory(): Omit<World, 'upstreamPort'> {
  const directory = mkdtempSync(join(tmpdir(), 'alb-auth-bench-'))
  process.once('exit', () => {
    rmSync(directory, { recursive: true, force: true })
  })
  const write = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  return { directory, write }
}

const dockerfile = () => readFileSync(inRepository('Dockerfile'), 'utf8')

/** The flags that the image gives to Node, read from its Dockerfile. */
export function imageFlags(): readonly string[] {
  const [, entrypoint = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile()) ?? []
  const words: unknown = JSON.parse(entrypoint)
  return Array.isArray(words) ? words.map(String).filter(word => word.startsWith('--')) : []
}

/** What the image sets for the allocator of native code, read from the same. */
export function imageEnvironment(): Readonly<Record<string, string>> {
  const found = dockerfile().matchAll(/^ENV .*?\b(MALLOC_[A-Z_]+)=(\S+)/gm)
  return Object.fromEntries([...found].map(([, name = '', value = '']) => [name, value]))
}
