/**
 * A real Prometheus scrapes two sidecars under mixed traffic, evaluates the rules as they stand, and a
 * real Alertmanager tells a hook. Every query of the dashboard must have data.
 */
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { close, freePorts, listen } from '../../simulator/loopback.ts'
import { get, run, until } from './patience.ts'
import { picture } from './picture.ts'
import { startTraffic } from './traffic.ts'

interface Notification {
  readonly status: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

interface Rule {
  readonly name: string
  readonly type: string
  readonly health: string
  readonly lastError?: string
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string
    readonly targets?: readonly { readonly expr: string }[]
  }[]
}

/** What an alert is told to. */
async function startHook(t: Test) {
  const told: Notification[] = []
  const server = createServer((request, response) => {
    void text(request).then(body => {
      told.push(...(JSON.parse(body) as { alerts: Notification[] }).alerts)
      response.end()
    })
  })
  const url = await listen(server, 0)
  t.teardown(() => close(server))
  return { url, told }
}

/** Runs a server until the test is over; what it wrote is shown when it does not answer. */
async function startServer(t: Test, command: string, args: readonly string[], ready: string) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  }
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  await until(`${command} answers`, async () => {
    if (child.exitCode !== null) throw new Error(`${command} has ended:\n${output}`)
    return (await get(ready)).status === 200
  })
}

/** The configuration that we ship, with this machine's addresses and less patience. */
async function startPrometheus(t: Test, targets: readonly string[], hook: string) {
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const [port = 0, alertsPort = 0] = await freePorts([0, 0])
  const shipped = readFileSync('deploy/prometheus/prometheus.yaml', 'utf8')
  const config = shipped
    .replaceAll(': 15s', ': 1s')
    .replace('127.0.0.1:9093', `127.0.0.1:${alertsPort}`)
  writeFileSync(join(folder, 'prometheus.yaml'), config)
  copyFileSync('deploy/prometheus/rules.yaml', join(folder, 'rules.yaml'))
  mkdirSync(join(folder, 'targets'))
  writeFileSync(join(folder, 'targets/sidecars.json'), JSON.stringify([{ targets }]))
  writeFileSync(
    join(folder, 'alertmanager.yaml'),
    JSON.stringify({
      route: { receiver: 'hook', group_by: ['alertname'], group_wait: '1s', group_interval: '1s' },
      receivers: [{ name: 'hook', webhook_configs: [{ url: hook }] }],
    }),
  )
  const url = `http://127.0.0.1:${port}`
  const alerts = `http://127.0.0.1:${alertsPort}`
  await startServer(
    t,
    'prometheus-alertmanager',
    [
      `--config.file=${folder}/alertmanager.yaml`,
      `--storage.path=${folder}/alerts`,
      `--web.listen-address=127.0.0.1:${alertsPort}`,
      // Empty: otherwise it gossips on every address of the machine.
      '--cluster.listen-address=',
    ],
    `${alerts}/-/ready`,
  )
  await startServer(
    t,
    'prometheus',
    [
      `--config.file=${folder}/prometheus.yaml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    `${url}/-/ready`,
  )
  const api = async (path: string): Promise<unknown> => {
    const { status, body } = await get(`${url}/api/v1/${path}`)
    if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
    return (JSON.parse(body) as { data: unknown }).data
  }
  return {
    /** What an expression is now: the samples that are numbers. */
    query: async (expr: string) => {
      const { result } = (await api(`query?query=${encodeURIComponent(expr)}`)) as {
        result: Sample[]
      }
      return result.filter(({ value }) => Number.isFinite(Number(value[1])))
    },
    rules: async () => {
      const { groups } = (await api('rules')) as { groups: { rules: Rule[] }[] }
      return groups.flatMap(group => group.rules)
    },
    api,
  }
}

/** As Grafana puts in what its variables say. */
const substituted = (expr: string) =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('$job', '.+')

t.test('metrics, rules, alerts and dashboard, live', async t => {
  const traffic = await startTraffic(t)
  const hook = await startHook(t)
  const targets = traffic.sidecars.map(({ adminPort }) => `127.0.0.1:${adminPort}`)
  const prometheus = await startPrometheus(t, targets, hook.url)

  for (const sidecar of traffic.sidecars) {
    const page = await sidecar.metrics()
    const { code, output } = await run('promtool', ['check', 'metrics'], page)
    t.same([code, output], [0, ''], 'promtool finds nothing wrong with the metrics page')
  }

  await until('both are scraped', async () => (await prometheus.query('up == 1')).length === 2)

  const dashboard = JSON.parse(readFileSync('deploy/grafana/dashboard.json', 'utf8')) as Dashboard
  const panels = dashboard.panels.filter(({ targets }) => targets !== undefined)
  t.ok(panels.length > 15, 'there are panels')
  for (const { title, targets = [] } of panels) {
    for (const { expr } of targets) {
      const samples = await until(`data for ${title}: ${expr}`, async () => {
        const found = await prometheus.query(substituted(expr))
        return found.length > 0 && found
      })
      t.ok(samples.length > 0, `${title}: ${samples.length} series`)
    }
  }

  const rules = await until('every rule has been evaluated', async () => {
    const all = await prometheus.rules()
    return all.every(({ health }) => health !== 'unknown') && all
  })
  for (const { name, health, lastError } of rules)
    t.equal(health, 'ok', `${name} ${lastError ?? ''}`)
  for (const { name } of rules.filter(({ type }) => type === 'recording')) {
    await until(`data for ${name}`, async () => (await prometheus.query(name)).length > 0)
    t.pass(`${name} has data`)
  }

  const alert = await until('the alert has reached the hook', async () =>
    hook.told.find(({ labels }) => labels['alertname'] === 'AlbAuthUnknownSigner'),
  )
  t.match(alert, {
    status: 'firing',
    labels: { severity: 'page', job: 'alb-auth-sidecar' },
    annotations: { runbook_url: 'docs/runbooks.md#albauthunknownsigner' },
  })
  const names = new Set(hook.told.map(({ labels }) => labels['alertname']))
  names.delete('AlbAuthForgedToken')
  t.same([...names], ['AlbAuthUnknownSigner'], 'and nothing that has no cause')
  if (process.env['WRITE_PICTURE'] === '1') {
    await sleep(60_000)
    await picture('docs/dashboard.svg', prometheus.api)
  }
  await traffic.stop()
})
