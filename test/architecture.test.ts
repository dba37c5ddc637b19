/**
 * The shape of src/, held: who may import whom, what may touch the process, what every file opens
 * with, and that no file is without the test that must cover it.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import t from 'tap'
import ts from 'typescript'

interface Allowed {
  /** Other folders of src/. */
  readonly folders: readonly string[]
  readonly packages: readonly string[]
}

/** What each folder of src/ may import besides itself and what node brings along. */
const MAY_IMPORT: Readonly<Record<string, Allowed | 'everything'>> = {
  core: { folders: [], packages: [] },
  config: {
    folders: ['core', 'route', 'tokens', 'headers', 'identity', 'tls'],
    packages: ['envalid'],
  },
  server: { folders: ['core'], packages: [] },
  tls: { folders: ['core'], packages: ['asn1js', 'pkijs'] },
  route: { folders: ['core'], packages: [] },
  headers: { folders: ['core'], packages: [] },
  identity: { folders: ['core'], packages: [] },
  tokens: { folders: ['core'], packages: ['lru-cache', 'undici'] },
  session: { folders: ['core'], packages: [] },
  forward: { folders: ['core'], packages: [] },
  observe: { folders: ['core'], packages: ['pino', 'prom-client'] },
  workers: { folders: ['core'], packages: [] },
  cli: 'everything',
  'gate.ts': 'everything',
  'pipeline.ts': 'everything',
  'main.ts': 'everything',
  'operate.ts': 'everything',
  'alone.ts': 'everything',
  'primary.ts': 'everything',
  'worker.ts': 'everything',
  'sidecar.ts': 'everything',
}

/** Which only put together what others do; the tests of the built program are theirs. */
const COMPOSITION: ReadonlySet<string> = new Set([
  ...['main.ts', 'operate.ts', 'alone.ts', 'primary.ts', 'worker.ts', 'sidecar.ts'],
])

/** Every file below a folder whose name ends so, with `/` between its parts. */
function filesIn(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(ending))
    .map(name => name.split(sep).join('/'))
    .sort()
}

/** The first part of a path below src/: a folder, or a file of the top. */
const part = (file: string): string => file.split('/', 1)[0]!

/** What of its imports a file may not have. */
function strays(file: string, text: string, allowed: Allowed): string[] {
  const specifiers = ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName)
  return specifiers.filter(specifier => {
    if (specifier.startsWith('node:')) return false
    if (!specifier.startsWith('.')) return !allowed.packages.includes(specifier)
    const target = part(
      normalize(join(dirname(file), specifier))
        .split(sep)
        .join('/'),
    )
    return target !== part(file) && !allowed.folders.includes(target)
  })
}

/** Whether a file declares nothing but types, so that there is nothing to run in it. */
function isTypesOnly(text: string): boolean {
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { module: ts.ModuleKind.ESNext, removeComments: true },
  })
  return outputText.trim() === 'export {};'
}

/** Whether the code of a file, its comments aside, speaks of the process it runs in. */
function touchesProcess(text: string): boolean {
  const isIn = (node: ts.Node): boolean =>
    (ts.isIdentifier(node) && node.text === 'process') ||
    (ts.isStringLiteralLike(node) && /^(?:node:)?process$/.test(node.text)) ||
    (ts.forEachChild(node, child => isIn(child) || undefined) ?? false)
  return isIn(ts.createSourceFile('a.ts', text, ts.ScriptTarget.Latest))
}

const FILES = filesIn('src', '.ts')

for (const file of FILES) {
  t.test(`src/${file}`, t => {
    const text = readFileSync(join('src', file), 'utf8')
    const isMain = file === 'main.ts'

    const allowed = MAY_IMPORT[part(file)]
    if (allowed === undefined) t.fail(`${part(file)} has no row in MAY_IMPORT`)
    else if (allowed !== 'everything')
      t.same(strays(file, text, allowed), [], 'keeps to its imports')

    t.match(text, isMain ? /^#!.+\n\/\*\*\n/ : /^\/\*\*\n/, 'opens by saying what it is for')
    if (!isMain)
      t.notMatch(text, /\bprocess\b\s*[.[]|node:process/, 'leaves the process to main.ts')

    const mirror = join('test', file.replace(/\.ts$/, '.test.ts'))
    const isCovered = COMPOSITION.has(file) || existsSync(mirror) || isTypesOnly(text)
    t.ok(isCovered, `is covered by ${mirror}`)
    t.end()
  })
}

t.test('every row of the table is about something', t => {
  t.same(Object.keys(MAY_IMPORT).sort(), [...new Set(FILES.map(part))].sort())
  t.end()
})

t.test('every unit test is the mirror of a file', t => {
  const folders = new Set(Object.keys(MAY_IMPORT).filter(name => !name.endsWith('.ts')))
  const orphans = filesIn('test', '.test.ts')
    .filter(test => folders.has(part(test)))
    .filter(test => !existsSync(join('src', test.replace(/\.test\.ts$/, '.ts'))))
  t.same(orphans, [])
  t.end()
})

t.test('what breaks a rule is noticed', t => {
  const cases = [
    { text: "import { a } from '../core/a.ts'", found: [] },
    { text: "import type { A } from './b.ts'", found: [] },
    { text: "import 'node:fs'", found: [] },
    { text: "import { pino } from 'pino'", found: [] },
    { text: "import type { A } from '../tokens/a.ts'", found: ['../tokens/a.ts'] },
    { text: "export { a } from '../main.ts'", found: ['../main.ts'] },
    { text: "const a = await import('undici')", found: ['undici'] },
    { text: "import a from '../../test/a.ts'", found: ['../../test/a.ts'] },
    { text: "import a from '../core/../headers/a.ts'", found: ['../core/../headers/a.ts'] },
  ]
  for (const { text, found } of cases) {
    t.same(strays('observe/a.ts', text, { folders: ['core'], packages: ['pino'] }), found, text)
  }
  t.equal(isTypesOnly('import type { A } from "./a.ts"\nexport type B = A | 1'), true)
  t.equal(isTypesOnly('export const a = 1'), false)
  for (const text of ['process.exit()', 'const { env } = process', "import 'node:process'"]) {
    t.equal(touchesProcess(text), true, text)
  }
  t.equal(touchesProcess('/** This process. */ const a = 1'), false)
  t.end()
})
