/**
 * Keeps as many workers alive as were asked for: starts them, replaces the ones that die, asks how they
 * are, and leads them out.
 *
 * A worker that dies is replaced, at once the first time and then after growing pauses, so that a crash
 * loop does not spin. A start that fails is not tried again: while no worker serves, one that ends
 * before it serves ends the whole, for the platform to see.
 *
 * A worker takes connections when it is told to. A replacement first waits for its keys, so that it
 * does not refuse what the others would have let in.
 */
import type { Clock } from '../core/clock.ts'
import { isWord, type Order, type Snapshot, type Word } from './messages.ts'

/** A process that was forked, however. */
export interface Child {
  /** Never used again, unlike a process id. */
  readonly id: number
  readonly pid: number
  /** Lost when the process has ended. */
  readonly send: (order: Order) => void
  /** SIGKILL. */
  readonly kill: () => void
  readonly onMessage: (heed: (message: unknown) => void) => void
  /** Called once it has ended and everything it said has been heard; `how`: `SIGKILL` or `exit 1`. */
  readonly onEnded: (heed: (how: string) => void) => void
}

export interface CrewOptions {
  readonly size: number
  readonly fork: () => Child
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** How long a worker may take to answer a question. */
  readonly askMs: number
  /** How long the workers get beyond the time that they were given for draining. */
  readonly graceMs: number
  /** Of requests in flight; the workers keep to it by themselves, and are killed after it. */
  readonly drainTimeoutMs: number
  /** The pause before the second replacement in a row; doubled from one to the next. */
  readonly pauseMs: number
  readonly onMetrics: (child: Child, snapshot: Snapshot) => void
  /**
   * @param how It ended, or why it says it had to.
   * @param isExpected Whether somebody knows already: it was told to end, or had said that it would.
   */
  readonly onEnded: (child: Child, how: string, isExpected: boolean) => void
  /** A new worker was started in the place of another. */
  readonly onReplaced: (child: Child) => void
  /** Nobody serves, and nobody can be started. */
  readonly onLost: (fault: Error) => void
}

export interface Crew {
  /**
   * Resolves to the address once every worker takes connections.
   * @throws {Error} when one of them cannot.
   */
  readonly start: () => Promise<unknown>
  /**
   * Why no request should come now: none serves, or one that does is not ready. One that is being
   * replaced takes no connections, so it does not count.
   */
  readonly notReady: () => Promise<string | undefined>
  /** Which of the workers hang; of one process alone, the platform finds that out by itself. */
  readonly notHealthy: () => Promise<string | undefined>
  /** Resolves when every worker has told its metrics, or has not in time. */
  readonly askMetrics: () => Promise<void>
  /** @returns Whether every worker could leave in time. */
  readonly drain: (delayMs: number) => Promise<boolean>
  readonly reload: () => void
  /** Kills them all. */
  readonly end: () => void
}

interface Member {
  readonly child: Child
  /** `told`: to take connections, and may do so by now. */
  phase: 'starting' | 'told' | 'serving' | 'leaving'
  readonly startedAt: number
  /** Why it says it cannot serve. */
  fault?: string
  wasInTime: boolean
  readonly waiting: Map<number, (answer: Word | undefined) => void>
}

/** A worker that served for so long did not die of how it started. */
const STEADY_MS = 60_000
const MAX_PAUSE_MS = 30_000
/** How long a replacement waits for its keys. */
const PATIENCE_MS = 10_000

export function createCrew(options: CrewOptions): Crew {
  const { clock } = options
  const members = new Set<Member>()
  const pauses = new Set<NodeJS.Timeout>()
  let asked = 0
  /** Deaths in a row, without a steady worker between them. */
  let deaths = 0
  let isLeaving = false
  let isStarted = false
  const starting = deferred<unknown>()
  const leaving = deferred<boolean>()
  let inTime = true

  return {
    start() {
      while (members.size < options.size) add()
      return starting.promise
    },

    async notReady() {
      const serving = those('serving')
      if (serving.length === 0) return 'no worker serves'
      for (const answer of await ask('readiness', serving)) {
        if (answer?.word !== 'readiness') return 'a worker does not answer'
        if (answer.why !== undefined) return answer.why
      }
      return undefined
    },

    async notHealthy() {
      const answers = await ask('readiness', those('serving', 'leaving'))
      return answers.includes(undefined) ? 'a worker does not answer' : undefined
    },

    async askMetrics() {
      await ask('metrics', those('serving', 'leaving'))
    },

    drain(delayMs) {
      isLeaving = true
      for (const pause of pauses) clearTimeout(pause)
      const late = setTimeout(
        () => {
          inTime = false
          end()
        },
        delayMs + options.drainTimeoutMs + options.graceMs,
      )
      void leaving.promise.then(() => {
        clearTimeout(late)
      })
      if (members.size === 0) leaving.resolve(inTime)
      for (const member of members) {
        if (member.phase === 'starting') member.child.kill()
        else if (member.phase !== 'leaving') member.child.send({ order: 'drain', delayMs })
        if (member.phase === 'serving') member.phase = 'leaving'
      }
      return leaving.promise
    },

    reload() {
      for (const { child } of those('told', 'serving')) child.send({ order: 'reload' })
    },

    end,
  }

  function those(...phases: readonly Member['phase'][]): Member[] {
    return [...members].filter(({ phase }) => phases.includes(phase))
  }

  function add(): Child {
    const child = options.fork()
    const member: Member = {
      child,
      phase: 'starting',
      startedAt: clock.monotonicMs(),
      wasInTime: false,
      waiting: new Map(),
    }
    members.add(member)
    child.onMessage(message => {
      if (isWord(message)) hear(member, message)
    })
    child.onEnded(how => {
      ended(member, how)
    })
    return child
  }

  function hear(member: Member, word: Word): void {
    const { child, waiting } = member
    switch (word.word) {
      case 'hello':
        member.phase = 'told'
        child.send({ order: 'listen', patienceMs: isStarted ? PATIENCE_MS : 0 })
        return
      case 'listening':
        member.phase = isLeaving ? 'leaving' : 'serving'
        if (isStarted || those('serving').length < options.size) return
        isStarted = true
        starting.resolve(word.address)
        return
      case 'failed':
        member.fault = word.message
        child.kill()
        return
      case 'metrics':
        options.onMetrics(child, word.snapshot)
        if (word.id !== undefined) waiting.get(word.id)?.(word)
        return
      case 'readiness':
        waiting.get(word.id)?.(word)
        return
      case 'leaving':
        member.phase = 'leaving'
        replace(member)
        return
      case 'drained':
        member.wasInTime = word.inTime
    }
  }

  function ended(member: Member, how: string): void {
    const { child, phase, fault, waiting, wasInTime } = member
    // Whoever waits for the start is told the fault of one that could not begin.
    const isTold = fault !== undefined && !isStarted
    members.delete(member)
    for (const answer of waiting.values()) answer(undefined)
    options.onEnded(child, fault ?? how, isLeaving || phase === 'leaving' || isTold)
    if (isLeaving) {
      if (phase === 'leaving' && !wasInTime) inTime = false
      if (members.size === 0) leaving.resolve(inTime)
      return
    }
    if (phase !== 'leaving') replace(member)
  }

  /** Puts a new worker in the place of one that serves no longer, or gives up. */
  function replace({ phase, startedAt, child, fault }: Member): void {
    const isNew = phase === 'starting' || phase === 'told'
    if (!isStarted || (isNew && those('serving').length === 0)) {
      lost(new Error(fault ?? `worker ${child.pid} ended before it served`))
      return
    }
    if (clock.monotonicMs() - startedAt > STEADY_MS) deaths = 0
    const pauseMs = deaths === 0 ? 0 : Math.min(MAX_PAUSE_MS, options.pauseMs * 2 ** (deaths - 1))
    deaths++
    const pause = setTimeout(() => {
      pauses.delete(pause)
      options.onReplaced(add())
    }, pauseMs)
    pauses.add(pause)
  }

  function lost(fault: Error): void {
    isLeaving = true
    if (isStarted) options.onLost(fault)
    else starting.reject(fault)
  }

  function ask(
    order: 'readiness' | 'metrics',
    whom: readonly Member[],
  ): Promise<(Word | undefined)[]> {
    const answers = whom.map(
      ({ child, waiting }) =>
        new Promise<Word | undefined>(resolve => {
          const id = ++asked
          const answered = (answer: Word | undefined) => {
            clearTimeout(late)
            waiting.delete(id)
            resolve(answer)
          }
          const late = setTimeout(() => {
            answered(undefined)
          }, options.askMs)
          waiting.set(id, answered)
          child.send({ order, id })
        }),
    )
    return Promise.all(answers)
  }

  function end(): void {
    isLeaving = true
    for (const pause of pauses) clearTimeout(pause)
    for (const { child } of members) child.kill()
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (fault: Error) => void
}

/** A promise that is kept from outside. */
function deferred<T>(): Deferred<T> {
  let resolve!: Deferred<T>['resolve']
  let reject!: Deferred<T>['reject']
  const promise = new Promise<T>((kept, broken) => {
    resolve = kept
    reject = broken
  })
  return { promise, resolve, reject }
}
