/**
 * docs/deploy.md, done as it is printed: its Helm commands render, its CloudFormation and Terraform
 * parameters are those of the template and the module and leave none out, its container runs. A guide that
 * is only read goes wrong unnoticed.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { containerNamed, getInside, IMAGE } from './containers.ts'
import { must, run, until } from './patience.ts'

const { HELM = 'helm', TOOLS = '' } = process.env
const require = createRequire(`${TOOLS}/guide.js`)
const { parse: parseHcl } = require('@cdktf/hcl2json') as {
  readonly parse: (name: string, text: string) => Promise<unknown>
}
const { parse: parseYaml } = require('yaml') as {
  readonly parse: (text: string, options: { logLevel: string }) => unknown
}

const guide = readFileSync('docs/deploy.md', 'utf8')

/** The fenced blocks in a language. */
const blocksIn = (language: string): string[] =>
  [...guide.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(
    ([, block]) => block ?? '',
  )

/** Every printed command that starts so, its continued lines joined. */
function commandsOf(start: string): string[] {
  const lines = blocksIn('sh').flatMap(block => block.replace(/\\\n */g, '').split('\n'))
  return lines.filter(line => line.startsWith(start))
}

/** What a shell makes of a command's words; nothing is run. */
async function wordsOf(command: string): Promise<string[]> {
  const said = await must('bash', ['-c', `cat() { echo secret; }; printf '%s\\0' ${command}`])
  return said.split('\0').slice(0, -1)
}

interface Template {
  readonly Parameters: Readonly<
    Record<string, { readonly Default?: string; readonly AllowedValues?: readonly string[] }>
  >
}
const { Parameters } = parseYaml(readFileSync('deploy/cloudformation/consoleme.yaml', 'utf8'), {
  logLevel: 'silent',
}) as Template

function parametersAmong(words: readonly string[]): Record<string, string> {
  const pairs = words
    .filter(word => /^[A-Z]\w+=/.test(word))
    .map(word => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] as const)
  return Object.fromEntries(pairs)
}

t.test('Helm: report, then enforce', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'guide-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const mine = join(folder, 'mine.yaml')
  writeFileSync(mine, blocksIn('yaml').find(block => block.startsWith('settings:')) ?? '')
  const commands = [...commandsOf('helm install '), ...commandsOf('helm upgrade ')]
  t.equal(commands.length, 2)
  for (const [at, mode] of ['report', 'enforce'].entries()) {
    const [, , ...words] = await wordsOf(commands[at] ?? '')
    const args = words.map(word => (word === 'mine.yaml' ? mine : word))
    const { code, output } = await run(HELM, ['template', ...args, '--kube-version', '1.33.0'])
    t.equal(code, 0, `${commands[at] ?? ''}: ${code === 0 ? 'renders' : output}`)
    t.match(output, new RegExp(`name: ENFORCEMENT\\n +value: "?${mode}"?\\n`))
    t.match(output, /image: "?registry\.example\.com\/consoleme:1\.2\.3"?\n/, 'what is mine counts')
    t.match(output, /kind: PodMonitor\n[^]*kind: PrometheusRule\n|kind: PrometheusRule\n/)
  }
})

t.test('CloudFormation: the parameters of the template, none left out', async t => {
  const [report = '', enforce = '', ...more] = commandsOf('aws cloudformation deploy ')
  t.same(more, [])
  const given = parametersAmong(await wordsOf(report))
  const required = Object.entries(Parameters).filter(([, { Default }]) => Default === undefined)
  for (const [name] of required) t.ok(name in given, `${name} is given`)
  t.same(parametersAmong(await wordsOf(enforce)), { Enforcement: 'enforce' })

  const providers = [...guide.matchAll(/^```sh\n( +IdentityProvider=[^]*?)^```$/gm)]
  t.equal(providers.length, 2, 'Okta and Google')
  const oidc = Object.keys(Parameters).filter(name => name.startsWith('Oidc'))
  const all = [given]
  for (const [, block = ''] of providers) {
    const provider = parametersAmong(await wordsOf(block.replace(/\\\n */g, '').trim()))
    for (const name of oidc)
      t.ok(name in provider, `${provider['IdentityProvider'] ?? ''}: ${name}`)
    all.push(provider)
  }
  for (const [name, value] of all.flatMap(each => Object.entries(each))) {
    t.ok(name in Parameters, `${name} is a parameter`)
    const { AllowedValues = [value] } = Parameters[name] ?? {}
    t.ok(AllowedValues.includes(value), `${name}=${value} is allowed`)
  }
})

t.test('Terraform: the variables of the module, none left out', async t => {
  const [block = '', ...more] = blocksIn('hcl')
  t.same(more, [])
  const { module } = (await parseHcl('guide.tf', block)) as {
    module: { consoleme: Record<string, unknown>[] }
  }
  const { source, ...given } = module.consoleme[0] ?? {}
  t.equal(source, './deploy/terraform')
  const { variable } = (await parseHcl(
    'variables.tf',
    readFileSync('deploy/terraform/variables.tf', 'utf8'),
  )) as { variable: Record<string, [Record<string, unknown>]> }
  for (const name of Object.keys(given)) t.ok(name in variable, `${name} is a variable`)
  for (const [name, [{ default: value }]] of Object.entries(variable)) {
    t.ok(value !== undefined || name in given, `${name} is given, or has a default`)
  }
})

t.test('docker run: it starts, and reports', async t => {
  const [command = '', ...more] = commandsOf('docker run ')
  t.same(more, [])
  const [, , ...words] = await wordsOf(command)
  t.equal(words.at(-1), 'alb-auth-sidecar')
  const name = `alb-auth-guide-${process.pid}`
  t.teardown(() => run('podman', ['rm', '--force', '--time', '0', name]))
  // In a network of its own: here nothing may listen on every address.
  const args = words
    .slice(0, -1)
    .filter(word => word !== '--rm')
    .map(word => (word === 'host' ? 'none' : word))
  const ours = ['--detach', '--pull=never', '--no-healthcheck', `--name=${name}`]
  await must('podman', ['run', ...ours, ...args, IMAGE])
  const container = await containerNamed(name)
  await until('healthy', async () => {
    const { status } = await getInside(container, 'http://127.0.0.1:9090/healthz')
    return status === 200
  })
  t.match(await container.log(), /ENFORCEMENT/, 'it says that it only reports')
})
