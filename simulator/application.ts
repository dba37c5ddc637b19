/**
 * The application of the demonstration by itself, until it is told to stop: what stands behind the
 * sidecar in deploy/compose.yaml. Listens on 127.0.0.1 only, like any application behind a sidecar.
 *
 * `PORT` (8081), `ADMIN_URL` (http://127.0.0.1:9090, the sidecar's, whose counters its page shows).
 */

import { startDemoApp } from './demo-app.ts'

const { PORT = '8081', ADMIN_URL = 'http://127.0.0.1:9090' } = process.env

const app = await startDemoApp({ port: Number(PORT), adminUrl: () => ADMIN_URL })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())
process.stdout.write(`The application listens on ${app.url}\n`)
