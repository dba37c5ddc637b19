/**
 * The pair that two files hold: read once at start, and then followed.
 *
 * Files are looked at, not watched. Kubernetes swaps a symbolic link two levels above them, certbot
 * renames, editors write in place, and a network file system tells nobody; what all of them have in
 * common is that the content is another one afterwards. Looking also has no watch to lose.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { expected } from '../core/expected.ts'
import { judgePair, type Content, type Faulty, type Pair } from './pair.ts'

export interface PairFiles {
  /** Path of `TLS_CERT_FILE`. */
  readonly certificate: string
  /** Path of `TLS_KEY_FILE`. */
  readonly key: string
}

/** Reads both files at once, for a start that has to wait for them anyway. */
export function readPair({ certificate, key }: PairFiles): Pair | Faulty {
  const read = (path: string): Content => {
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      return expected(error, Error)
    }
  }
  return judgePair(read(certificate), read(key))
}

export interface FollowOptions {
  readonly files: PairFiles
  /** What has been read of them so far. */
  readonly inUse: Pair
  /** How often to look, in milliseconds. */
  readonly everyMs: number
  /** Another pair, and a good one. */
  readonly onPair: (pair: Pair) => void
  /** Another content that is no good pair; told once for each. */
  readonly onFaulty: (faulty: Faulty) => void
}

export interface Following {
  /** Judges now what the files hold, whether or not it is new; resolves when that is done. */
  readonly reload: () => Promise<void>
  readonly stop: () => void
}

/**
 * Looks at the files until it is stopped. What changed is judged when it was the same at two looks in a
 * row, so that a pair that is written in two steps is not judged in between; and again at every further
 * change, until it is good.
 */
export function followPair({ files, inUse, everyMs, onPair, onFaulty }: FollowOptions): Following {
  let judged = digestOf([inUse.certificate, inUse.key])
  let seen = judged
  let looking = Promise.resolve()

  const look = async (mustJudge: boolean): Promise<void> => {
    const contents = await Promise.all([contentOf(files.certificate), contentOf(files.key)])
    const digest = digestOf(contents)
    const isSettled = digest === seen
    seen = digest
    if (!mustJudge && (!isSettled || digest === judged)) return
    judged = digest
    const pair = judgePair(...contents)
    if ('faults' in pair) onFaulty(pair)
    else onPair(pair)
  }
  const queue = (mustJudge: boolean): Promise<void> => {
    looking = looking.then(() => look(mustJudge))
    return looking
  }
  let timer = setTimeout(lookAgain, everyMs).unref()
  let isStopped = false

  return {
    reload: () => queue(true),
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }

  function lookAgain(): void {
    void queue(false).then(() => {
      if (!isStopped) timer = setTimeout(lookAgain, everyMs).unref()
    })
  }
}

function contentOf(path: string): Promise<Content> {
  return readFile(path, 'utf8').catch((error: unknown) => expected(error, Error))
}

/** Tells contents apart without keeping another copy of a key. */
function digestOf(contents: readonly [Content, Content]): string {
  return createHash('sha256')
    .update(JSON.stringify(contents.map(String)))
    .digest('base64')
}
