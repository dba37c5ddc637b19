/**
 * undici's `Pool.dispatch` straight into the answer: the least that a proxy with undici can do. Nothing to
 * run: it strips little, and fails a legal 304.
 */

import type { ServerResponse } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { serve, upstreamUrl } from './listen.ts'

const pool = new Pool(upstreamUrl(), { connections: 256 })

const METHODS: Readonly<Record<string, Dispatcher.HttpMethod>> = { GET: 'GET', POST: 'POST' }
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding'])

const into = (response: ServerResponse): Dispatcher.DispatchHandler => ({
  onRequestStart: () => undefined,
  onResponseStart: (_controller, status, headers) => {
    const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name))
    response.writeHead(status, Object.fromEntries(kept))
  },
  onResponseData: (controller, chunk) => {
    if (response.write(chunk)) return
    controller.pause()
    response.once('drain', () => {
      controller.resume()
    })
  },
  onResponseEnd: () => response.end(),
  onResponseError: () => response.destroy(),
})

serve((request, response) => {
  const { method = 'GET', url = '/', headers } = request
  const kept = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name))
  const body = method === 'GET' ? null : request
  const path = { method: METHODS[method] ?? 'GET', path: url, body }
  pool.dispatch({ ...path, headers: Object.fromEntries(kept) }, into(response))
})
