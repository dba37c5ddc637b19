/**
 * What the documents tell an operator to type is there to be typed: environments are read by the
 * program's own configuration, commands by its own reader of arguments, and every variable that is
 * named is one.
 */
import { existsSync, readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import t from 'tap'
import { run } from '../src/cli/cli.ts'
import { HELP } from '../src/cli/help.ts'
import { ConfigFault, loadConfig, type Environment } from '../src/config/config.ts'
import { SETTINGS } from '../src/config/settings.ts'
import { createMetrics } from '../src/observe/metrics.ts'
import { MARKER_COOKIE } from '../src/session/session.ts'
import { blocksOf, documents, filesIn, proseOf } from './fixtures/documents.ts'
import { createTerminal } from './fixtures/terminal.ts'

const VARIABLES: ReadonlySet<string> = new Set(
  Object.values(SETTINGS).flatMap(({ variable }) => [variable, `${variable}_FILE`]),
)

/** What an example leaves to the reader. */
const LEAST = {
  ALB_ARNS:
    'arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/0123456789abcdef',
  ALB_CLIENT_IDS: 'client-1',
  OIDC_ISSUER: 'https://idp.example.com/',
} as const

const TEXTS = documents().map(file => ({ file, text: readFileSync(file, 'utf8') }))
const BLOCKS = TEXTS.flatMap(({ file, text }) =>
  blocksOf(text).map(block => ({ ...block, where: `${file}:${block.line}` })),
)

const ASSIGNMENT = /^([A-Z][A-Z0-9_]*)=(.*)$/

/** The assignments of a block that is an environment and nothing else. */
function environmentIn({ language, text }: { language: string; text: string }) {
  if (!['', 'env'].includes(language)) return undefined
  const lines = text.split('\n').filter(line => line.trim() !== '' && !line.startsWith('#'))
  const pairs = lines.map(line => ASSIGNMENT.exec(line)?.slice(1))
  if (lines.length === 0 || pairs.includes(undefined)) return undefined
  return Object.fromEntries(pairs.filter(pair => pair !== undefined)) as Environment
}

/** What the configuration finds wrong with an example; files that it names are on another machine. */
function faultsOf(example: Environment): readonly string[] {
  try {
    const { warnings } = loadConfig({ ...LEAST, ...example })
    return warnings.map(({ text }) => text).filter(text => text.includes(' is not a setting'))
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error
    return error.faults.filter(fault => !/ cannot be read: .*ENOENT/.test(fault))
  }
}

const ENVIRONMENTS = BLOCKS.flatMap(block => {
  const environment = environmentIn(block)
  return environment === undefined ? [] : [{ where: block.where, environment }]
})

for (const { where, environment } of ENVIRONMENTS) {
  t.test(`the environment at ${where} can be used`, async t => {
    t.same(faultsOf(environment), [])
    const strangers = Object.keys(environment).filter(name => !VARIABLES.has(name))
    t.same(strangers, [], 'every variable is a setting')
  })
}

t.test(
  'every block that says it is an environment is one, and what is wrong is noticed',
  async t => {
    const said = BLOCKS.filter(({ language }) => language === 'env').map(({ where }) => where)
    t.same(
      said.filter(where => !ENVIRONMENTS.some(each => each.where === where)),
      [],
    )
    t.ok(said.length >= 9)
    t.match(faultsOf({ IDP: 'adfs' }), [/^IDP must be one of/])
    t.match(faultsOf({ ALB_ARN: 'x' }), [/^ALB_ARN is not a setting/])
    t.equal(environmentIn({ language: 'env', text: 'A=1\nnpm run x\n' }), undefined)
  },
)

/** Commands of a block, continued lines joined, without prompts, assignments and redirections. */
function commandsIn(text: string): readonly string[] {
  return text
    .replace(/\\\n\s*/g, ' ')
    .split(/\n|&&|;|\|/)
    .map(line => line.replace(/^\s*\$\s+/, '').replace(/\s+#.*$/, ''))
    .map(line => line.trim().replace(/^(?:[A-Z][A-Z0-9_]*=\S*\s+)+/, ''))
    .filter(line => line !== '')
}

/** In prose a command may also be quoted: `node dist/main.js check`. */
const QUOTED = /`((?:alb-auth-sidecar|node|npm|\.ci\/run) [^`\n]+)`/g

const COMMANDS = TEXTS.flatMap(({ file, text }) => {
  const shell = blocksOf(text).filter(
    block => ['', 'sh', 'console'].includes(block.language) && block.text !== HELP,
  )
  const fenced = shell.flatMap(block => commandsIn(block.text))
  const quoted = [...proseOf(text).matchAll(QUOTED)].flatMap(([, quote = '']) => commandsIn(quote))
  return [...fenced, ...quoted].map(command => ({ file, command }))
})

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  scripts: Readonly<Record<string, string>>
}

/** The program, wherever it is, and what stands behind it. */
const PROGRAM =
  /^(?:kubectl exec .* -- )?(?:alb-auth-sidecar|node (?:--env-file=\S+ )?dist\/main\.js) +(.+)$/

/** What stands for a value where a command is described and not given. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  TIME: '2026-11-20T09:00:00Z',
  DURATION: '60s',
}

/** @returns What is wrong with a command of ours, nothing if it is fine or none of ours. */
async function faultOf(command: string): Promise<string | undefined> {
  const [, script] = /^npm run (?:--silent )?([\w:-]+)/.exec(command) ?? []
  if (script !== undefined) return script in scripts ? undefined : `there is no script ${script}`
  const [, stage] = /^\.ci\/run ([\w-]+)/.exec(command) ?? []
  if (stage !== undefined) {
    return existsSync(`.ci/stages/${stage}`) ? undefined : `there is no stage ${stage}`
  }
  const [, behind] = PROGRAM.exec(command) ?? []
  if (behind === undefined) return undefined
  const words = behind.replace(/\s[<>]\s*\S+/g, '').split(/\s+/)
  const args = words.map(word => PLACEHOLDERS[word] ?? word)
  // Without a configuration every command ends once its arguments are understood.
  const terminal = createTerminal({ args, environment: {} })
  return (await run(terminal)) === 2 ? terminal.errors() : undefined
}

t.test('every command of ours in the documents is understood', async t => {
  for (const { file, command } of COMMANDS) {
    t.equal(await faultOf(command), undefined, `${file}: ${command}`)
  }
  t.ok(COMMANDS.filter(({ command }) => PROGRAM.test(command)).length >= 9, 'some were found')
})

t.test('what is no command of ours is noticed', async t => {
  t.match(await faultOf('npm run deploy'), /no script deploy/)
  t.match(await faultOf('.ci/run moon'), /no stage moon/)
  t.match(await faultOf('node dist/main.js check --jsn'), /no such option/)
  t.match(await faultOf('alb-auth-sidecar serve'), /the commands are/)
  t.match(await faultOf('node --env-file=a.env dist/main.js explain'), /takes a file/)
  t.equal(await faultOf('alb-auth-sidecar explain --at TIME -'), undefined)
})

t.test('what --help says is in docs/cli.md', async t => {
  const texts = blocksOf(readFileSync('docs/cli.md', 'utf8')).map(({ text }) => text)
  t.ok(texts.includes(HELP))
})

/** Variables of others that the documents name, and whose they are. */
const OTHERS: ReadonlySet<string> = new Set([
  ...['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_TLS_REJECT_UNAUTHORIZED'],
  // Flask-AppBuilder's; also its WSGI name of our header.
  ...['AUTH_TYPE', 'AUTH_REMOTE_USER', 'AUTH_REMOTE_USER_ENV_VAR', 'HTTP_X_FORWARDED_USER'],
  // Constants of node:cluster and aws-jwt-verify
  ...['SCHED_NONE', 'UUID_REGEXP'],
])

/** Variables of what is run here beside the program: tests, simulator, benchmarks, CI. */
function toolVariables(): ReadonlySet<string> {
  const code = ['test', 'simulator', 'bench', 'scripts'].flatMap(name =>
    filesIn(name, /\.m?[jt]s$/),
  )
  const shell = ['package.json', ...filesIn('.ci', /./)]
  const namesIn = (files: readonly string[], name: RegExp) =>
    files.flatMap(file =>
      [...readFileSync(file, 'utf8').matchAll(name)].map(([, found = '']) => found),
    )
  return new Set([
    ...namesIn(code, /\benv(?:\['|\.)([A-Z0-9_]+)/g),
    ...namesIn(shell, /\$\{?([A-Z][A-Z0-9_]+)/g),
    ...namesIn(shell, /\b([A-Z][A-Z0-9_]+)=/g),
  ])
}

t.test('every variable that a document names is a setting, or known to be another', async t => {
  const tools = toolVariables()
  for (const { file, text } of TEXTS) {
    const quoted = [...proseOf(text).matchAll(/`([^`\n]+)`/g)].map(([, quote = '']) => quote)
    const named = quoted.flatMap(
      quote => /^([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=.*)?$/.exec(quote)?.slice(1) ?? [],
    )
    const unknown = named.filter(
      name => !VARIABLES.has(name) && !OTHERS.has(name) && !tools.has(name),
    )
    t.same([...new Set(unknown)], [], file)
  }
  t.notOk(VARIABLES.has('ALB_ARN') || tools.has('ALB_ARN'), 'a misspelt one would be noticed')
})

/** Every series of our own on the metrics page. */
async function seriesNames(): Promise<ReadonlySet<string>> {
  const registry = new Registry()
  createMetrics(registry, {
    ...{ upstreamConnections: () => 0, webSockets: () => 0, isDraining: () => false },
    ...{ isUnsafe: false, version: '', node: '' },
  })
  const metrics = await registry.getMetricsAsJSON()
  return new Set(
    metrics.flatMap(({ name }) => ['', '_bucket', '_sum', '_count'].map(end => name + end)),
  )
}

t.test('every metric that a document names is on the page', async t => {
  const names = await seriesNames()
  for (const { file, text } of TEXTS) {
    const named = text.match(/\balb_auth_[a-z_]+[a-z]\b/g) ?? []
    t.same(
      [...new Set(named)].filter(name => !names.has(name) && name !== MARKER_COOKIE),
      [],
      file,
    )
  }
  t.ok(names.has('alb_auth_decision_duration_seconds_bucket'))
  t.notOk(names.has('alb_auth_rejection_total'), 'a misspelt one would be noticed')
})
