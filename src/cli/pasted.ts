/**
 * Reads what somebody pasted: a bare token, or a request in one of the ways in which browsers and curl
 * write one down. Nothing is judged here, and nothing that was pasted gets into a message.
 */
import { pairs, valuesOf, type HeaderList } from '../core/headers.ts'
import { parseJson } from '../core/json.ts'
import { shellWords } from './shell-words.ts'

export interface PastedRequest {
  readonly kind: 'request'
  readonly method: string
  readonly target: string
  /** As node would hand them over: values are latin-1. */
  readonly headers: HeaderList
  /** Whether the request said what it asks for, so that nothing had to be assumed. */
  readonly isWhole: boolean
}

export type Pasted = PastedRequest | { readonly kind: 'token'; readonly token: string }

/** A header line, its name perhaps one of HTTP/2's pseudo-headers. */
const HEADER = /^(:?[^\s:]+):[ \t]*(.*?)[ \t]*$/
const REQUEST_LINE = /^([A-Z]+) (\S+) HTTP\/[\d.]+$/

/** @returns What was pasted, or what is wrong with it, as the end of "the input …". */
export function readPasted(text: string): Pasted | string {
  const trimmed = text.replace(/^\uFEFF/, '').trim()
  if (trimmed === '') return 'is empty'
  const command = trimmed.replace(/^\$ /, '')
  if (/^curl(?:\.exe)?\s/.test(command)) return fromCurl(command)
  if (trimmed.startsWith('{')) return fromJson(trimmed)
  if (!trimmed.includes(':')) return { kind: 'token', token: trimmed.replace(/\s/g, '') }
  const lines = trimmed.split(/\r?\n/)
  const sent = lines.filter(line => line.startsWith('> ')).map(line => line.slice(2))
  return fromLines(sent.length > 0 ? sent : lines)
}

function fromLines(lines: readonly string[]): PastedRequest | string {
  const [first = ''] = lines
  const [, method, target] = REQUEST_LINE.exec(first.trim()) ?? []
  const list = unfold(lines).flatMap(readHeader)
  if (list.length === 0) return 'holds neither a token nor a header'
  return request(list, method, target)
}

/** Name and value of a line, or nothing where it is no header. */
function readHeader(line: string): HeaderList {
  const [, ...header] = HEADER.exec(line) ?? []
  return header
}

/** Newer browsers put a value on the line after its name; where all lines are so, they are joined. */
function unfold(lines: readonly string[]): readonly string[] {
  const names = lines.filter((_, at) => at % 2 === 0)
  const values = lines.filter((_, at) => at % 2 === 1)
  if (values.length < names.length || !names.every(line => /^:?[\w-]+:$/.test(line))) return lines
  return lines
    .join('\n')
    .replace(/:\n(.*)(\n|$)/g, ': $1$2')
    .split('\n')
}

function fromJson(text: string): PastedRequest | string {
  const headers = parseJson(text)
  if (typeof headers !== 'object' || headers === null) return 'is not JSON'
  const list = Object.entries(headers).flatMap(([name, value]) =>
    typeof value === 'string' ? [name, value] : [],
  )
  return list.length === 0 ? 'holds no header' : request(list)
}

/** Options of curl that take a value, which must not be mistaken for the URL; what each is for us. */
const CURL: Readonly<Record<string, 'header' | 'method' | 'cookie' | 'data' | 'url' | 'other'>> = {
  ...{ '-H': 'header', '--header': 'header', '-b': 'cookie', '--cookie': 'cookie' },
  ...{ '-X': 'method', '--request': 'method', '--url': 'url' },
  ...{ '-d': 'data', '--data': 'data', '--data-raw': 'data', '--data-binary': 'data' },
  ...{ '--data-ascii': 'data', '--data-urlencode': 'data', '--json': 'data' },
  ...{ '-F': 'data', '--form': 'data', '--form-string': 'data' },
  ...{ '-A': 'other', '--user-agent': 'other', '-e': 'other', '--referer': 'other' },
  ...{ '-u': 'other', '--user': 'other', '-o': 'other', '--output': 'other' },
  ...{ '-x': 'other', '--proxy': 'other', '-m': 'other', '--max-time': 'other' },
  ...{ '--resolve': 'other', '--connect-to': 'other', '--cacert': 'other', '-w': 'other' },
}

function fromCurl(command: string): PastedRequest | string {
  const words = shellWords(command)
  if (words === undefined) return 'is a curl command with a quote left open'
  if (words.includes('^')) return 'is a curl command for cmd.exe: copy it as cURL (bash)'
  const found = { header: [], method: [], cookie: [], data: [], url: [], other: [] } as Record<
    (typeof CURL)[string],
    string[]
  >
  const flags = new Set<string>()
  let option: (typeof CURL)[string] | undefined
  for (const word of words.slice(1)) {
    const [letter, value] = [word.slice(0, 2), word.slice(2)]
    if (option !== undefined) {
      found[option].push(word)
      option = undefined
    } else if (Object.hasOwn(CURL, word)) {
      option = CURL[word]
    } else if (letter !== '--' && value !== '' && CURL[letter] !== undefined) {
      found[CURL[letter]].push(value)
    } else if (word.startsWith('-')) {
      flags.add(word)
    } else {
      found.url.push(word)
    }
  }
  const [url = ''] = found.url
  const [, authority, rest = ''] = /^(?:[a-z]+:\/\/)?([^/?#]+)([^#]*)/i.exec(url) ?? []
  if (authority === undefined) return 'is a curl command without a URL'
  const isHead = flags.has('-I') || flags.has('--head')
  const method = found.method[0] ?? (isHead ? 'HEAD' : found.data.length > 0 ? 'POST' : 'GET')
  const list = [
    ...found.header.flatMap(readHeader),
    ...found.cookie.flatMap(value => ['Cookie', value]),
    ...[':authority', authority.replace(/^.*@/, '')],
  ]
  return request(list, method, rest.startsWith('/') ? rest : `/${rest}`)
}

/** HTTP/2 spells method, path and host as headers; a target gets HTTP/1.1 from its load balancer. */
function request(list: HeaderList, method?: string, target?: string): PastedRequest {
  const [pseudoMethod] = valuesOf(list, ':method')
  const [pseudoPath] = valuesOf(list, ':path')
  const [authority = 'localhost'] = valuesOf(list, ':authority')
  const plain = [...pairs(list)].filter(([name]) => !name.startsWith(':'))
  const hasHost = plain.some(([name]) => name.toLowerCase() === 'host')
  const headers = [...(hasHost ? [] : [['Host', authority]]), ...plain].flat()
  const asked = target ?? pseudoPath
  return {
    kind: 'request',
    method: method ?? pseudoMethod ?? 'GET',
    target: asked ?? '/',
    headers: headers.map(text => Buffer.from(text, 'utf8').toString('latin1')),
    isWhole: asked !== undefined,
  }
}
