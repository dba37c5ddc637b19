/**
 * `npm run test:fuzz`: 1.3 million cases, in ten minutes at most on a machine like CI's. The seed is
 * printed; `FUZZ_SEED` gives the same cases again, `FUZZ_SCALE` more or fewer of them.
 */
import { randomInt } from 'node:crypto'
import fc from 'fast-check'
import { PROPERTIES } from './properties.ts'

const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31))
const scale = Number(process.env['FUZZ_SCALE'] ?? 1)
const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

say(`Node ${process.version}, FUZZ_SEED=${seed}`)
let failed = 0
let cases = 0
for (const { name, share, property } of PROPERTIES) {
  const startedAt = performance.now()
  const details = await fc.check(property, { seed, numRuns: Math.ceil(share * scale) })
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0)
  cases += details.numRuns
  say(`${details.failed ? 'FAILED' : 'ok    '} ${name}: ${details.numRuns} cases  [${seconds} s]`)
  if (!details.failed) continue
  failed++
  say(fc.defaultReportMessage(details))
}
say(`${cases} cases, ${failed} properties failed`)
process.exitCode = failed === 0 ? 0 : 1
