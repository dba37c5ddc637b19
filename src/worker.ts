/**
 * One of several processes that serve: does what the primary says, and nothing by itself, so that a
 * signal that reaches a whole process group is heeded once.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadedConfig } from './config/config.ts'
import { expected } from './core/expected.ts'
import { EXIT } from './core/exit.ts'
import type { Host } from './core/host.ts'
import type { Log } from './observe/log.ts'
import { createSidecar, type Sidecar } from './sidecar.ts'
import { isOrder, type Order, type Word } from './workers/messages.ts'

/** The channel to the primary. */
export interface Primary {
  readonly onMessage: (heed: (message: unknown) => void) => void
  /** Resolves when it has been handed over. */
  readonly tell: (word: Word) => Promise<void>
}

/** How often a worker that waits for its keys looks whether it has them. */
const LOOK_MS = 50

export async function work(
  loaded: LoadedConfig,
  log: Log,
  host: Host,
  { onMessage, tell }: Primary,
): Promise<void> {
  let phase: 'starting' | 'serving' | 'leaving' = 'starting'
  const isStarting = () => phase === 'starting'

  host.onFault(error => {
    log.logger.error({ err: error }, 'fault')
    if (phase !== 'serving') {
      host.exit(EXIT.fault)
      return
    }
    void tell({ word: 'leaving' })
    void leave(0, EXIT.fault)
  })
  const reloads = new Set<() => void>()
  const onReload: Host['onReload'] = heed => reloads.add(heed)
  const sidecar = await createSidecar(loaded, log, { ...host, onReload })
  onMessage(message => {
    if (isOrder(message)) void obey(message)
  })
  await tell({ word: 'hello' })

  async function obey(order: Order): Promise<void> {
    switch (order.order) {
      case 'listen':
        await listen(order.patienceMs)
        return
      case 'readiness': {
        const why = sidecar.notReady()
        await tell({ word: 'readiness', id: order.id, ...(why !== undefined && { why }) })
        return
      }
      case 'metrics':
        await tellMetrics(sidecar, order.id)
        return
      case 'reload':
        for (const reload of reloads) reload()
        return
      case 'drain':
        if (phase !== 'leaving') await leave(order.delayMs, 0)
    }
  }

  async function listen(patienceMs: number): Promise<void> {
    for (
      let waited = 0;
      waited < patienceMs && sidecar.notReady() !== undefined;
      waited += LOOK_MS
    ) {
      await sleep(LOOK_MS)
    }
    if (!isStarting()) return
    try {
      const address = await sidecar.listen()
      phase = 'serving'
      await tell({ word: 'listening', address })
    } catch (error) {
      await tell({ word: 'failed', message: expected(error, Error).message })
    }
  }

  async function leave(delayMs: number, code: number): Promise<void> {
    const inTime = phase !== 'serving' || (await draining(delayMs))
    await tellMetrics(sidecar)
    await tell({ word: 'drained', inTime })
    host.exit(code)
  }

  function draining(delayMs: number): Promise<boolean> {
    phase = 'leaving'
    return sidecar.drain(delayMs)
  }

  async function tellMetrics({ registry }: Sidecar, id?: number): Promise<void> {
    const snapshot = await registry.getMetricsAsJSON()
    await tell({ word: 'metrics', snapshot, ...(id !== undefined && { id }) })
  }
}
