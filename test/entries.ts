/**
 * Writes what `npm test` runs: `.suite/entries/*.js`. To start a process takes most tests longer than to
 * run, three times so with what tap loads to measure coverage.
 *
 * One entry for each folder of `src/` has all of its unit tests in one process, and one for each other
 * file of `src/` that has a test. Everything is loaded before the first test runs, which no file may wait
 * for; then the tests run one after the other, file by file. What is to be covered is loaded too: what no
 * test loads counts as not covered.
 *
 * `alone.js` has all other tests, which vouch for no file's coverage: several at a time, each in a
 * process of its own. `npx tap test/<folder>/<file>.test.ts` runs one file as ever.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { sep } from 'node:path'

const TESTS = readdirSync('.suite/test', { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.js'))
  .map(name => name.split(sep).join('/'))
  .sort()

function write(name: string, lines: readonly string[]): void {
  writeFileSync(`.suite/entries/${name}.js`, `${["import t from 'tap'", ...lines].join('\n')}\n`)
}

mkdirSync('.suite/entries')
const units = new Set<string>()
for (const name of readdirSync('src').map(each => each.replace(/\.ts$/, ''))) {
  const tests = TESTS.filter(test => test === `${name}.test.js` || test.startsWith(`${name}/`))
  if (tests.length === 0) continue
  for (const test of tests) units.add(test)
  const covered = existsSync(`.suite/src/${name}`)
    ? readdirSync(`.suite/src/${name}`).map(file => `${name}/${file}`)
    : [`${name}.js`]
  write(name, [
    "t.test('everything is loaded', async () => {",
    ...tests.map(test => `  await import('../test/${test}')`),
    ...covered.filter(file => file.endsWith('.js')).map(file => `  await import('../src/${file}')`),
    '})',
  ])
}
write('alone', [
  "import { bareNode } from '../test/fixtures/node.js'",
  '// Most of the time they wait for each other’s processes; each has a time limit of its own.',
  't.jobs = 4',
  't.setTimeout(0)',
  'const run = test => {',
  '  const options = { name: `test/${test}`, buffered: true, timeout: 600_000 }',
  "  t.spawn(...bareNode(['--enable-source-maps', `.suite/test/${test}`]), options)",
  '}',
  ...TESTS.filter(test => !units.has(test)).map(test => `run('${test}')`),
])
