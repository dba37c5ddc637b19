/**
 * A little of what `npm run test:fuzz` does at length, with a seed that does not change: what is found
 * by chance is found there, and stays as an example elsewhere.
 */
import fc from 'fast-check'
import t from 'tap'
import { PROPERTIES } from './properties.ts'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_120)

for (const { name, share, property } of PROPERTIES) {
  t.test(name, async t => {
    const details = await fc.check(property, { seed: SEED, numRuns: Math.ceil(share / 1_000) })
    t.notOk(details.failed, fc.defaultReportMessage(details) ?? `seed ${SEED}`)
  })
}
