/**
 * The tables in the documents are the tables in the code, and the picture is the one that is drawn.
 *
 * `npm run docs` writes them; this test fails when they differ. Prose around them is nobody's to
 * compare, so what can be listed is listed here.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { Registry, type MetricObject } from 'prom-client'
import t from 'tap'
import { picture } from '../scripts/picture.ts'
import { SECTIONS, SETTINGS, type Readable, type Setting } from '../src/config/settings.ts'
import { REASONS, REASON_NAMES } from '../src/core/reasons.ts'
import { IDPS } from '../src/identity/idp.ts'
import { createMetrics } from '../src/observe/metrics.ts'
import { NOAUTH_PRESETS } from '../src/route/presets.ts'

const isWriting = process.env['WRITE_DOCS'] === '1'

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

const cell = (text: string) => text.replaceAll('|', '\\|')

function settingsTables(): string {
  const rows: Setting<Readable>[] = Object.values(SETTINGS)
  return SECTIONS.map(section => {
    const ours = rows.filter(row => row.section === section)
    const cells = ours.map(({ variable, fallback, required, meaning }) => [
      `\`${variable}\``,
      required === true ? '**required**' : fallback ? `\`${fallback.replaceAll(',', ', ')}\`` : '',
      cell(meaning),
    ])
    return `## ${section}\n\n${table(['variable', 'default', 'meaning'], cells)}`
  }).join('\n\n')
}

function presetTables(): string {
  return Object.entries(NOAUTH_PRESETS)
    .map(([name, rules]) => `\`${name}\` opens ${rules.map(rule => `\`${rule}\``).join(', ')}.`)
    .join('\n\n')
}

function idpTable(): string {
  const code = (names: readonly string[]) => names.map(name => `\`${name}\``).join(', ')
  const rows = Object.entries(IDPS).map(([name, row]) => [
    `\`${name}\``,
    `\`${row.accessToken}\``,
    code(row.clientClaims),
    `\`${row.subjectClaim}\``,
    code(row.userClaims),
    code(row.groupsClaims),
    cell(row.trap),
  ])
  const variables = ['ACCESS_TOKEN', 'ACCESS_TOKEN_CLIENT_CLAIM', 'ACCESS_TOKEN_SUBJECT_CLAIM']
  const more = ['USER_CLAIM', 'GROUPS_CLAIM']
  return table(['`IDP`', ...[...variables, ...more].map(name => `\`${name}\``), 'mind'], rows)
}

function reasonsTable(): string {
  const rows = REASON_NAMES.map(reason => {
    const { status, meaning, disclosed } = REASONS[reason]
    return [String(status), `\`${reason}\``, cell(meaning), disclosed ? 'yes' : 'no']
  })
  return table(['status', 'reason', 'meaning', 'told to the client'], rows)
}

async function metricsTable(): Promise<string> {
  const registry = new Registry()
  createMetrics(registry, {
    upstreamConnections: () => 0,
    webSockets: () => 0,
    isDraining: () => false,
    isUnsafe: false,
    version: '',
    node: '',
  })
  const metrics: (MetricObject & { labelNames?: string[] })[] = registry.getMetricsAsArray()
  const kinds = new Map((await registry.getMetricsAsJSON()).map(({ name, type }) => [name, type]))
  const rows = metrics
    .filter(({ name }) => name.startsWith('alb_auth_'))
    .map(({ name, help, labelNames = [] }) => [
      `\`${name}\``,
      String(kinds.get(name)),
      labelNames.map(label => `\`${label}\``).join(', '),
      cell(help),
    ])
  return table(['name', 'type', 'labels', 'meaning'], rows)
}

const DOCUMENTS = [
  { file: 'docs/configuration.md', section: 'settings', content: settingsTables },
  { file: 'docs/configuration.md', section: 'presets', content: presetTables },
  { file: 'docs/identity-providers.md', section: 'idp', content: idpTable },
  { file: 'docs/reasons.md', section: 'reasons', content: reasonsTable },
  { file: 'docs/metrics.md', section: 'metrics', content: metricsTable },
]

for (const { file, section, content } of DOCUMENTS) {
  t.test(`${file} has the ${section} that the code has`, async t => {
    const begin = `<!-- ${section}: written by npm run docs -->`
    const end = `<!-- end of ${section} -->`
    const text = readFileSync(file, 'utf8')
    const from = text.indexOf(begin) + begin.length
    const to = text.indexOf(end)
    t.ok(from >= begin.length && to > from, 'has the place for them')
    const wanted = `\n\n${await content()}\n\n`
    if (isWriting) writeFileSync(file, text.slice(0, from) + wanted + text.slice(to))
    else t.equal(text.slice(from, to), wanted, 'run npm run docs')
  })
}

t.test('docs/overview.svg is the picture that scripts/picture.ts draws', async t => {
  if (isWriting) writeFileSync('docs/overview.svg', picture())
  t.equal(readFileSync('docs/overview.svg', 'utf8'), picture(), 'run npm run docs')
})

t.test('every folder of src has its row in docs/ARCHITECTURE.md', async t => {
  const text = readFileSync('docs/ARCHITECTURE.md', 'utf8')
  const rows = [...text.matchAll(/^\| `(\w+)\/` \|/gm)].map(([, folder]) => folder)
  const folders = readdirSync('src', { withFileTypes: true }).filter(each => each.isDirectory())
  t.same(rows.sort(), folders.map(({ name }) => name).sort())
})

t.test('every row of SECURITY.md is held by a test that there is', t => {
  const rows = readFileSync('SECURITY.md', 'utf8')
    .split('\n')
    .map(line => line.split('|').map(each => each.trim()))
    .filter(cells => cells.at(-2)?.startsWith('test/'))
  t.ok(rows.length > 40)
  for (const cells of rows) {
    const [about = '', , file = ''] = cells.slice(1)
    const text = readFileSync(file, 'utf8')
    if (/^(?:CVE|GHSA)-|#\d/.test(about)) t.ok(text.includes(about), `${file} names ${about}`)
    t.match(text, /^\/\*\*/, `${file} opens with its attack`)
  }
  const held = new Set(rows.map(cells => cells.at(-2)))
  const families = readdirSync('test/attack').filter(file => file.endsWith('.test.ts'))
  t.same(
    families.filter(file => !held.has(`test/attack/${file}`)),
    [],
    'and every attack is in the table',
  )
  t.end()
})
