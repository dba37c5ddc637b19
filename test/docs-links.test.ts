/**
 * Every link within the repository leads somewhere: each relative one to a file that is there, each
 * anchor to a heading of it. Nothing is asked of the network.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join, dirname, normalize } from 'node:path'
import t from 'tap'
import { documents, filesIn, proseOf } from './fixtures/documents.ts'

const DOCUMENTS = documents()

/** The anchor that GitHub makes of a heading. */
function anchorOf(heading: string): string {
  const text = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
  const kept = text.toLowerCase().replace(/[^\p{Letter}\p{Number}\p{Mark} _-]/gu, '')
  return kept.replaceAll(' ', '-')
}

/** Every anchor of a document; the second of two equal ones ends in `-1`. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of proseOf(markdown).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const anchor = anchorOf(heading)
    let own = anchor
    for (let more = 1; anchors.has(own); more += 1) own = `${anchor}-${more}`
    anchors.add(own)
  }
  return anchors
}

/** Targets of inline links, pictures and reference definitions, outside code. */
function linksOf(markdown: string): readonly string[] {
  const prose = proseOf(markdown).replace(/`[^`\n]*`/g, '')
  const inline = prose.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g)
  const definitions = prose.matchAll(/^\[[^\]]+\]:\s+(\S+)/gm)
  return [...inline, ...definitions].map(([, target = '']) => target)
}

/** @returns What is wrong with a link, or nothing. */
function faultOf(file: string, link: string): string | undefined {
  if (/^(?:https?|mailto):/.test(link)) return undefined
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)))
  if (!existsSync(target)) return `${link} leads to no file`
  if (anchor === undefined) return undefined
  if (!target.endsWith('.md')) return /^L\d+$/.test(anchor) ? undefined : `${link}: not a heading`
  const isThere = anchorsOf(readFileSync(target, 'utf8')).has(anchor)
  return isThere ? undefined : `${link} leads to no heading of ${target}`
}

t.test('what makes an anchor and a link', async t => {
  const markdown = '# A `b`: c!\n\n## Same\n\n## Same\n\n```\n# no heading [x](y)\n```\n[a](b.md#c)'
  t.same([...anchorsOf(markdown)], ['a-b-c', 'same', 'same-1'])
  t.same(linksOf(`${markdown} ![p](d.svg) \`[n](o)\`\n\n[r]: e.md`), ['b.md#c', 'd.svg', 'e.md'])
  t.equal(faultOf('README.md', 'no-such-file.md'), 'no-such-file.md leads to no file')
  t.match(faultOf('README.md', '#no-such-heading'), /leads to no heading of README.md$/)
})

for (const file of DOCUMENTS) {
  t.test(`every link of ${file} leads somewhere`, async t => {
    const links = linksOf(readFileSync(file, 'utf8'))
    t.same(
      links.flatMap(link => faultOf(file, link) ?? []),
      [],
    )
  })
}

t.test('a document that the code or a test names is there', async t => {
  const sources = ['src', 'simulator', 'scripts', 'test', 'bench'].flatMap(folder =>
    filesIn(folder, /\.(?:ts|mjs)$/),
  )
  for (const file of sources.filter(name => !name.endsWith('docs-links.test.ts'))) {
    const named = readFileSync(file, 'utf8').match(/\bdocs\/[\w./-]+\.(?:md|svg)\b/g) ?? []
    for (const name of new Set(named)) t.ok(existsSync(name), `${file}: ${name}`)
  }
})

t.test('every document is reached from the README', async t => {
  const reached = new Set(['README.md'])
  for (const file of reached) {
    for (const link of linksOf(readFileSync(file, 'utf8'))) {
      const [path = ''] = link.split('#')
      if (/^https?:/.test(path) || !path.endsWith('.md')) continue
      reached.add(normalize(join(dirname(file), path)))
    }
  }
  const adr = (file: string) => file.startsWith('docs/adr/')
  const ours = DOCUMENTS.filter(file => file.startsWith('docs/') && !adr(file))
  t.same(
    ours.filter(file => !reached.has(file)),
    [],
  )
})
