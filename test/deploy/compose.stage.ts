/**
 * deploy/compose.yaml by podman-compose: somebody signs in and reaches the application, nobody else does,
 * and only what is to be published listens anywhere but on loopback. In a network of its own: publishing
 * ports would take a bridge on this machine.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { containerNamed, getInside } from './containers.ts'
import { must, run, until, type Answer } from './patience.ts'

const { TOOLS = '', NODE24 = 'node' } = process.env
const { parse, stringify } = createRequire(`${TOOLS}/compose.js`)('yaml') as {
  readonly parse: (text: string) => unknown
  readonly stringify: (value: unknown) => string
}

interface Compose {
  readonly name: string
  readonly services: Record<string, Record<string, unknown>>
}

const PORTS = ['127.0.0.1:8000:8000', '127.0.0.1:8083:8083']

t.test('compose.yaml runs: sign in, reach the application, nothing else listens', async t => {
  const { name, services } = parse(readFileSync('deploy/compose.yaml', 'utf8')) as Compose
  const { ports, ...simulator } = services['simulator'] ?? {}
  t.same(ports, PORTS, 'published on this machine’s loopback only')
  const folder = mkdtempSync(join(tmpdir(), 'compose-'))
  const file = join(folder, 'compose.yaml')
  const alone = { ...simulator, network_mode: 'none' }
  writeFileSync(file, stringify({ name, services: { ...services, simulator: alone } }))

  const project = `alb-auth-${process.pid}`
  const program = ['-m', 'podman_compose', '-p', project, '-f', file]
  const compose = (...args: string[]) => run('python3', [...program, ...args])
  t.teardown(async () => {
    await compose('down', '--timeout', '0')
    rmSync(folder, { recursive: true, force: true })
  })
  const up = await compose('up', '--detach', '--no-build')
  t.equal(up.code, 0, up.output)

  const nameOf = async (service: string) => {
    const filters = ['project', 'service'].map(
      (key, at) => `--filter=label=com.docker.compose.${key}=${at === 0 ? project : service}`,
    )
    const names = await must('podman', ['ps', ...filters, '--format={{.Names}}'])
    return names.trim()
  }
  const sidecar = await containerNamed(await nameOf('sidecar'))
  const inside = ['--target', String(sidecar.pid), '--net']
  const answers = (url: string) =>
    until(`${url} is answered`, async () => {
      const answer = await getInside(sidecar, url)
      return answer.status !== 0 && answer
    })

  await until('ready', async () => {
    const { status } = await answers('http://127.0.0.1:9090/readyz')
    return status === 200
  })
  t.equal((await answers('http://127.0.0.1:8080/')).status, 401, 'past the load balancer: no token')
  t.equal((await answers('http://127.0.0.1:8000/')).status, 302, 'at the load balancer: sign in')

  const page = await until('alice has signed in', async () => {
    const signIn = ['test/deploy/sign-in.ts', 'http://127.0.0.1:8000/']
    const { code, stdout } = await run('nsenter', [...inside, NODE24, ...signIn])
    const answer = code === 0 ? (JSON.parse(stdout) as Answer) : undefined
    return answer?.status === 200 && answer
  })
  t.match(page.body, /alice@example\.com/, 'and the application knows her')

  const listening = await must('nsenter', [...inside, 'ss', '-H', '-l', '-t', '-n'])
  const addresses = listening
    .trim()
    .split('\n')
    .map(line => line.trim().split(/\s+/)[3] ?? '')
  t.same(
    addresses.sort(),
    [
      ...['0.0.0.0:8000', '0.0.0.0:8083'],
      ...['127.0.0.1:8080', '127.0.0.1:8081', '127.0.0.1:8082', '127.0.0.1:9090'],
    ],
    'only load balancer and identity provider can be published',
  )
})
