/**
 * Every case, in the order in which docs/reliability.md lists them.
 */
import type { FaultCase } from '../figures.ts'
import { ABORTS } from './aborts.ts'
import { CERTIFICATES } from './certificates.ts'
import { CLOCK } from './clock.ts'
import { FLOOD } from './flood.ts'
import { KEEP_ALIVE } from './keep-alive.ts'
import { KEYS_DOWN, KEYS_ODD } from './keys.ts'
import { MEMORY } from './memory.ts'
import { OBSERVERS } from './observers.ts'
import { APPLICATION_PAUSED, PAUSED } from './pauses.ts'
import { RESTARTS } from './restarts.ts'
import { SLOW } from './slow.ts'
import { TUNNELS } from './tunnels.ts'
import { UPSTREAM_ODD, UPSTREAM_RESETS, UPSTREAM_RESTARTS } from './upstream.ts'
import { WORKERS_KILLED } from './workers.ts'

export const CASES: readonly FaultCase[] = [
  KEYS_DOWN,
  KEYS_ODD,
  FLOOD,
  UPSTREAM_RESTARTS,
  UPSTREAM_ODD,
  UPSTREAM_RESETS,
  APPLICATION_PAUSED,
  RESTARTS,
  WORKERS_KILLED,
  TUNNELS,
  CERTIFICATES,
  ABORTS,
  SLOW,
  CLOCK,
  PAUSED,
  KEEP_ALIVE,
  OBSERVERS,
  MEMORY,
]
