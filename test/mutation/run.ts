/**
 * `npm run test:mutation`: puts one fault at a time into the files that decide, and runs the unit test
 * that mirrors the file. A fault that no test notices has survived; docs/mutation.md says why each may.
 *
 *   --each N     at most so many faults a file, spread evenly over it; default 40
 *   --only TEXT  files whose name holds it
 *   --write      puts the figures, of other files as they were measured before, into docs/mutation.md
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import ts from 'typescript'
import { mutantsOf, type Mutant } from './operators.ts'
import { merged, survivorsIn, writeDocument, type FileScore } from './document.ts'

/** The folders that decide what is admitted, open, passed on and believed. */
const FILES = [
  'server/admit.ts',
  ...['route', 'headers', 'tokens'].flatMap(folder =>
    readdirSync(`src/${folder}`).map(file => `${folder}/${file}`),
  ),
]
/** What takes so much longer than without a fault goes on for ever. */
const SLOWER = 8
const AT_LEAST_MS = 20_000

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

/** Whether the tests of a file pass as it is compiled now. */
async function passes(file: string, limitMs: number): Promise<boolean> {
  const test = `.suite/test/${file.replace(/\.ts$/, '.test.js')}`
  const child = spawn(process.execPath, [test], {
    env: { ...process.env, TAP_BAIL: '1' },
    stdio: 'ignore',
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const [code] = (await once(child, 'exit')) as [number | null]
  clearTimeout(timer)
  return code === 0
}

function compile(text: string): string {
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  }
  return ts.transpileModule(text, { compilerOptions }).outputText
}

/** Evenly over the file, the same ones every time. */
function sample(mutants: readonly Mutant[], most: number): Mutant[] {
  const step = Math.max(1, mutants.length / most)
  return Array.from(
    { length: Math.min(most, mutants.length) },
    (_, at) => mutants[Math.floor(at * step)],
  ).filter(mutant => mutant !== undefined)
}

async function score(file: string, most: number): Promise<FileScore> {
  const text = readFileSync(`src/${file}`, 'utf8')
  const target = `.suite/src/${file.replace(/\.ts$/, '.js')}`
  const original = readFileSync(target, 'utf8')
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true)
  const all = mutantsOf(source)
  const tried = sample(all, most)
  writeFileSync(target, compile(text))
  const startedAt = performance.now()
  if (!(await passes(file, 300_000))) throw new Error(`${file}: its tests fail without a fault`)
  const limitMs = Math.max(AT_LEAST_MS, (performance.now() - startedAt) * SLOWER)
  const survivors: string[] = []
  try {
    for (const { start, end, replacement, line } of tried) {
      writeFileSync(target, compile(text.slice(0, start) + replacement + text.slice(end)))
      if (!(await passes(file, limitMs))) continue
      const was = text.slice(start, end).replace(/\s+/g, ' ')
      const survivor = `${file}: \`${was}\` → \`${replacement}\``
      say(`  survived, line ${line}: ${survivor}`)
      survivors.push(survivor)
    }
  } finally {
    writeFileSync(target, original)
  }
  const killed = tried.length - survivors.length
  say(`${file}: ${killed} of ${tried.length} killed (${all.length} in all)`)
  return { file, all: all.length, tried: tried.length, killed, survivors }
}

async function run(): Promise<boolean> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: { each: text, only: text, write: { type: 'boolean', default: false } },
  })
  const most = Number(values.each ?? 40)
  const scores: FileScore[] = []
  for (const file of FILES.filter(each => each.includes(values.only ?? ''))) {
    scores.push(await score(file, most))
    const all = merged(scores)
    if (values.write) writeDocument(all)
  }
  const tried = scores.reduce((total, each) => total + each.tried, 0)
  const killed = scores.reduce((total, each) => total + each.killed, 0)
  const unexplained = survivorsIn(scores)
  say(`${killed} of ${tried} killed, ${((killed / tried) * 100).toFixed(1)} %`)
  for (const each of unexplained) say(`not in docs/mutation.md: ${each}`)
  return killed / tried >= 0.95
}

process.exitCode = (await run()) ? 0 : 1
