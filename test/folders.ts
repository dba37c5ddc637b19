/**
 * Writes `.suite/folders/<folder>.js` for each folder of `src/`: all of its unit tests in one process.
 * To start a process, and to load what is under test, takes most tests longer than to run.
 *
 * Everything is loaded before the first test runs, which no file may wait for; then the tests run one
 * after the other, file by file. The folder itself is loaded too: what no test loads counts as not
 * covered. `npx tap test/<folder>/<file>.test.ts` runs one file as ever.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'

/** The modules of a folder, as an entry imports them. */
const modulesIn = (folder: string, ending: string): string[] =>
  readdirSync(`.suite/${folder}`)
    .filter(name => name.endsWith(ending))
    .map(name => `  await import('../${folder}/${name}')`)

mkdirSync('.suite/folders')
for (const { name } of readdirSync('src', { withFileTypes: true }).filter(each =>
  each.isDirectory(),
)) {
  const text = [
    "import t from 'tap'",
    "t.test('everything is loaded', async () => {",
    ...modulesIn(`test/${name}`, '.test.js'),
    ...modulesIn(`src/${name}`, '.js'),
    '})',
    '',
  ]
  writeFileSync(`.suite/folders/${name}.js`, text.join('\n'))
}
