/**
 * One case, in a process of its own: what another case does to the event loop of the bench is no fault
 * of the sidecar's. Started by run.ts with the name of the case and `short` or `full`; tells it the
 * figures, and leaves nothing running.
 */
import { CASES } from './cases/index.ts'
import type { Figure } from './figures.ts'
import { createWorld } from './world.ts'

const [, , name = '', form = ''] = process.argv

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect'] as const) {
  process.on(signal, () => process.exit(130))
}

const row = CASES.find(each => each.name === name)
if (row === undefined) throw new Error(`no such case: ${name}`)
const world = createWorld(form === 'short')
let figures: readonly Figure[]
try {
  figures = await row.run(world)
} catch (error) {
  const measured = error instanceof Error ? error.message : String(error)
  figures = [{ what: 'ran to its end', measured, bound: 'yes', held: false }]
}
await world.end()
process.send?.(figures, () => process.exit(0))
