import { once } from 'node:events'
import t, { type Test } from 'tap'
import { createAdmin, type AdminOptions } from '../../src/observe/admin.ts'
import { lines, sendRaw } from '../fixtures/raw.ts'

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

async function startAdmin(t: Test, options: Partial<AdminOptions> = {}): Promise<number> {
  const server = createAdmin({
    metrics: () => Promise.resolve('alb_auth_draining 0\n'),
    metricsContentType: CONTENT_TYPE,
    notReady: () => Promise.resolve(undefined),
    notHealthy: () => Promise.resolve(undefined),
    ...options,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

t.test('the admin port answers three paths to GET and HEAD, and nothing else', async t => {
  const port = await startAdmin(t)
  const cases = [
    { ask: 'GET /healthz', status: 200, body: 'ok\n' },
    { ask: 'GET /readyz', status: 200, body: 'ok\n' },
    { ask: 'GET /metrics', status: 200, body: 'alb_auth_draining 0\n' },
    { ask: 'GET /healthz?verbose=1', status: 200, body: 'ok\n' },
    { ask: 'HEAD /healthz', status: 200, body: '' },
    { ask: 'HEAD /metrics', status: 200, body: '' },
    { ask: 'POST /healthz', status: 405, body: 'method not allowed\n' },
    { ask: 'DELETE /metrics', status: 405, body: 'method not allowed\n' },
    { ask: 'GET /', status: 404, body: 'not found\n' },
    { ask: 'GET /healthz/', status: 404, body: 'not found\n' },
    { ask: 'GET /HEALTHZ', status: 404, body: 'not found\n' },
    { ask: 'GET //healthz', status: 404, body: 'not found\n' },
    { ask: 'GET /constructor', status: 404, body: 'not found\n' },
    { ask: 'GET /?/metrics', status: 404, body: 'not found\n' },
    { ask: 'POST /nowhere', status: 404, body: 'not found\n' },
    { ask: 'GET __proto__', status: 400, body: '' },
  ]
  for (const { ask, status, body } of cases) {
    const { text, statuses } = await sendRaw(port, lines(`${ask} HTTP/1.0`))
    t.same(statuses, [status], ask)
    t.equal(text.slice(text.indexOf('\r\n\r\n') + 4), body, `${ask}: its body`)
  }
})

t.test(
  'the metrics page has the content type it was given, and no answer may be stored',
  async t => {
    const port = await startAdmin(t)
    const cases = [
      { path: '/metrics', contentType: CONTENT_TYPE },
      { path: '/healthz', contentType: 'text/plain; charset=utf-8' },
      { path: '/nowhere', contentType: 'text/plain; charset=utf-8' },
    ]
    for (const { path, contentType } of cases) {
      const { headers } = await fetch(`http://127.0.0.1:${port}${path}`)
      t.equal(headers.get('content-type'), contentType, path)
      t.equal(headers.get('cache-control'), 'no-store', path)
    }
  },
)

t.test('/readyz says why not, each time anew, while /healthz stays well', async t => {
  let why: string | undefined = 'draining'
  const port = await startAdmin(t, { notReady: () => Promise.resolve(why) })
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return `${response.status} ${await response.text()}`
  }
  t.equal(await ask('/readyz'), '503 draining\n')
  t.equal(await ask('/healthz'), '200 ok\n')
  why = undefined
  t.equal(await ask('/readyz'), '200 ok\n')
})

t.test('/healthz says what hangs, while /readyz is asked for itself', async t => {
  let why: string | undefined = 'a worker does not answer'
  const port = await startAdmin(t, { notHealthy: () => Promise.resolve(why) })
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return `${response.status} ${await response.text()}`
  }
  t.equal(await ask('/healthz'), '503 a worker does not answer\n')
  t.equal(await ask('/readyz'), '200 ok\n')
  why = undefined
  t.equal(await ask('/healthz'), '200 ok\n')
})

t.test(
  'a page that cannot be made is a 500 that says nothing, and the next is answered',
  async t => {
    const broken = () => Promise.reject(new Error('the secret reason'))
    const port = await startAdmin(t, { metrics: broken, notReady: broken })
    for (const path of ['/metrics', '/readyz']) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`)
      t.equal(response.status, 500, path)
      t.equal(await response.text(), 'internal error\n', path)
    }
    t.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200)
  },
)
