/**
 * A browser without a window: keeps cookies by host, follows redirects, fills in forms. It takes any
 * certificate, and shows every hop, so that a test can say what happened on the way.
 */

import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { text } from 'node:stream/consumers'
import type { HeaderList } from './loopback.ts'

export interface Page {
  readonly url: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** `302 http://…` for every redirect that was followed to get here. */
  readonly trail: readonly string[]
}

export interface VisitOptions {
  readonly method?: string
  readonly headers?: HeaderList
  /** Sent as a form. */
  readonly form?: Readonly<Record<string, string>>
  /** Default `true`. */
  readonly follow?: boolean
  /** Does not follow a redirect to this URL. */
  readonly stopBefore?: string
}

export interface Credentials {
  readonly name: string
  readonly password: string
}

export interface Visitor {
  readonly visit: (url: string, options?: VisitOptions) => Promise<Page>
  /** Submits the page's one form with its hidden fields and these. */
  readonly submit: (
    page: Page,
    fields: Readonly<Record<string, string>>,
    options?: VisitOptions,
  ) => Promise<Page>
  /** Opens a page, and signs in if that is what it takes. */
  readonly signIn: (url: string, who: Credentials, options?: VisitOptions) => Promise<Page>
  /** The value of a `Cookie` header for that URL, `''` when there are none. */
  readonly cookieHeader: (url: string) => string
  readonly setCookie: (url: string, name: string, value: string) => void
}

const MAX_REDIRECTS = 20
const PATIENCE_MS = 60_000
/** As a browser asks for a page. */
const NAVIGATION: HeaderList = [
  ['Accept', 'text/html'],
  ['Sec-Fetch-Mode', 'navigate'],
]

/** Whether this is the identity provider's sign-in page. */
export const asksPassword = ({ body }: Page): boolean => body.includes('name="password"')

/** Somebody new, without a cookie. */
export function createVisitor(): Visitor {
  const jar = new Map<string, Map<string, string>>()
  const cookiesOf = (url: string): Map<string, string> => {
    const { hostname } = new URL(url)
    const cookies = jar.get(hostname) ?? new Map<string, string>()
    jar.set(hostname, cookies)
    return cookies
  }
  const cookieHeader: Visitor['cookieHeader'] = url =>
    [...cookiesOf(url)].map(([name, value]) => `${name}=${value}`).join('; ')

  const visit: Visitor['visit'] = async (url, options = {}) => {
    const trail: string[] = []
    let page = await fetchOnce(url, options)
    while (options.follow !== false && page.headers.location !== undefined) {
      const next = new URL(page.headers.location, page.url).href
      if (next === options.stopBefore) break
      trail.push(`${page.status} ${page.url}`)
      if (trail.length > MAX_REDIRECTS) throw new Error(`redirected for ever:\n${trail.join('\n')}`)
      const { headers = NAVIGATION } = options
      page = await fetchOnce(next, { headers })
    }
    return { ...page, trail }
  }

  async function fetchOnce(url: string, { method, headers, form }: VisitOptions): Promise<Page> {
    const { protocol, host, hostname, port, pathname, search } = new URL(url)
    const cookie = cookieHeader(url)
    const body = form && new URLSearchParams(form).toString()
    const all: HeaderList = [
      ['Host', host],
      ['Connection', 'close'],
      ...(headers ?? NAVIGATION),
      ...(cookie === '' ? [] : [['Cookie', cookie] as const]),
      ...(body === undefined
        ? []
        : ([
            ['Content-Type', 'application/x-www-form-urlencoded'],
            ['Content-Length', String(Buffer.byteLength(body))],
          ] as const)),
    ]
    const send = protocol === 'https:' ? requestHttps : requestHttp
    const request = send({
      ...{ hostname, port, path: pathname + search, headers: all.flat(), agent: false },
      ...{ method: method ?? (body === undefined ? 'GET' : 'POST'), rejectUnauthorized: false },
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    request.end(body)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).once('error', reject)
    })
    for (const line of response.headers['set-cookie'] ?? []) keep(cookiesOf(url), line)
    return {
      ...{ url, status: response.statusCode ?? 0, headers: response.headers },
      ...{ body: await text(response), trail: [] },
    }
  }

  const submit: Visitor['submit'] = (page, fields, options = {}) => {
    const action = /<form[^>]*\saction="([^"]+)"/.exec(page.body)?.[1] ?? page.url
    const hidden = [...page.body.matchAll(/type="hidden" name="([^"]+)" value="([^"]*)"/g)]
    const known = new Map(hidden.map(([, name = '', value = '']) => [name, value]))
    const form = { ...Object.fromEntries(known), ...fields }
    return visit(new URL(action, page.url).href, { ...options, form })
  }

  return {
    visit,
    submit,
    signIn: async (url, { name, password }, options = {}) => {
      const page = await visit(url, options)
      return asksPassword(page) ? submit(page, { name, password }, options) : page
    },
    cookieHeader,
    setCookie: (url, name, value) => {
      cookiesOf(url).set(name, value)
    },
  }
}

/** As a browser does, path and domain aside. */
function keep(cookies: Map<string, string>, line: string): void {
  const [pair = '', ...attributes] = line.split(/; */)
  const name = pair.slice(0, pair.indexOf('='))
  const value = pair.slice(pair.indexOf('=') + 1)
  const attribute = (of: string): string | undefined =>
    attributes.find(each => each.toLowerCase().startsWith(`${of}=`))?.slice(of.length + 1)
  const expires = attribute('expires')
  const isOver =
    Number(attribute('max-age') ?? 1) <= 0 ||
    (expires !== undefined && Date.parse(expires) <= Date.now())
  if (isOver) cookies.delete(name)
  else cookies.set(name, value)
}
