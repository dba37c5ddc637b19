/**
 * The image, built from the Dockerfile and run as a platform would run it: who it is, what it may do,
 * what it answers, how it ends.
 */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startKeyServer } from '../../simulator/key-server.ts'
import { freePorts } from '../../simulator/loopback.ts'
import { createSigner } from '../../simulator/signer.ts'
import { ALICE, ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'
import { HARDENED, IMAGE, startContainer, type Container } from './containers.ts'
import { get, must, run, until } from './patience.ts'

interface ImageConfig {
  readonly User: string
  readonly Entrypoint: readonly string[]
  readonly Env: readonly string[]
  readonly Labels: Readonly<Record<string, string>>
}

/** An application whose answers wait until the test lets them go. */
async function startApplication(t: Test) {
  const waiting: (() => void)[] = []
  const seen: string[][] = []
  const server = createServer((request, response) => {
    seen.push(request.rawHeaders)
    if (request.url === '/held') waiting.push(() => response.end('done'))
    else response.end('ok')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, waiting, seen }
}

/** The image on the machine's loopback, read-only, without capabilities, in 256 MiB. */
async function startSidecar(t: Test) {
  const application = await startApplication(t)
  const signer = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER })
  const keys = await startKeyServer({ keys: [signer] })
  t.teardown(keys.close)
  const [port = 0, adminPort = 0] = await freePorts([0, 0])
  const container = await startContainer(t, [...HARDENED, '--network=host', IMAGE], {
    HOST: '127.0.0.1',
    PORT: String(port),
    ADMIN_HOST: '127.0.0.1',
    ADMIN_PORT: String(adminPort),
    UPSTREAM_URL: `http://127.0.0.1:${application.port}`,
    ALB_ARNS: ARN,
    ALB_CLIENT_IDS: CLIENT,
    OIDC_ISSUER: ISSUER,
    ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
    DRAIN_DELAY: '0s',
    DRAIN_TIMEOUT: '10m',
  })
  const admin = `http://127.0.0.1:${adminPort}`
  await until('ready', async () => (await get(`${admin}/readyz`)).status === 200)
  return { container, application, signer, admin, url: `http://127.0.0.1:${port}` }
}

/** A line of `/proc/<pid>/status`. */
function status({ pid }: Container, field: string): string {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n')
  return (
    lines
      .find(line => line.startsWith(`${field}:`))
      ?.slice(field.length + 1)
      .trim() ?? ''
  )
}

t.test('the image says who it is and holds nothing that it does not need', async t => {
  const { User, Entrypoint, Env, Labels } = JSON.parse(
    await must('podman', ['image', 'inspect', '--format={{json .Config}}', IMAGE]),
  ) as ImageConfig
  t.equal(User, '65532:65532')
  t.equal(Entrypoint[0], '/nodejs/bin/node')
  t.equal(Entrypoint.at(-1), '/app/dist/main.js')
  t.notOk(
    Env.some(each => /CERTS|REGISTRY|NPM|TOKEN/.test(each)),
    'nothing of where it was built',
  )
  t.equal(Labels['org.opencontainers.image.title'], 'alb-auth-sidecar')

  const container = await startContainer(t, [
    ...['--network=none', '--read-only', '--entrypoint=/nodejs/bin/node', IMAGE],
    ...['-e', 'setInterval(() => undefined, 1e9)'],
  ])
  const listed = await container.evaluate(`
    const fs = require('fs')
    const dependencies = fs.readdirSync('/app/node_modules')
    const owners = fs.readdirSync('/app', { recursive: true }).map(name => fs.lstatSync('/app/' + name).uid)
    const shells = ['/bin/sh', '/bin/bash', '/bin/dash', '/usr/bin/npm', '/usr/bin/apt'].filter(fs.existsSync)
    console.log(JSON.stringify({ dependencies, owners: [...new Set(owners)], shells, app: fs.readdirSync('/app') }))`)
  const { dependencies, owners, shells, app } = JSON.parse(listed) as Record<string, unknown[]>
  for (const name of ['typescript', 'tap', 'eslint', 'prettier']) {
    t.notOk(dependencies?.includes(name), `no ${name}`)
  }
  t.same(app?.sort(), ['dist', 'node_modules', 'package.json'])
  t.same(owners, [0], 'all of it is root’s, so none of it can be changed')
  t.same(shells, [], 'no shell, no package manager')
})

t.test('the container runs as nobody, read-only, in its memory', async t => {
  const { container, admin } = await startSidecar(t)
  t.match(status(container, 'Uid'), /^65532\s+65532\s+65532\s+65532$/)
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    t.match(status(container, set), /^0+$/, `${set} is empty`)
  }
  t.equal(status(container, 'NoNewPrivs'), '1')
  t.equal(status(container, 'Seccomp'), '2', 'filtered')
  const errors = await container.evaluate(`
    for (const file of ['/x', '/app/x', '/app/dist/main.js', '/tmp/x']) {
      try { require('fs').writeFileSync(file, ''); console.log(file) } catch (error) { console.log(error.code) }
    }`)
  const codes = errors.trim().split('\n')
  t.ok(
    codes.every(code => /^(EROFS|EACCES)$/.test(code)),
    codes.join(' '),
  )
  const cgroups = readFileSync(`/proc/${container.pid}/cgroup`, 'utf8')
  t.match(cgroups, /libpod/, 'in a cgroup of its own')
  t.equal((await get(`${admin}/healthz`)).status, 200)
  t.comment(
    `resident after start: ${status(container, 'VmRSS')}; peak: ${status(container, 'VmHWM')}`,
  )
})

t.test('a container that takes more than its memory is killed', async t => {
  const hog = 'const held = []; for (;;) held.push(Buffer.alloc(1 << 24, 1))'
  // Podman's monitor leaves a file named oom where it was started.
  const folder = mkdtempSync(join(tmpdir(), 'hog-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const { code } = await run('env', [
    ...[
      `--chdir=${folder}`,
      'podman',
      'run',
      '--rm',
      '--pull=never',
      '--network=none',
      '--read-only',
      '--memory=128m',
    ],
    ...['--memory-swap=128m', '--entrypoint=/nodejs/bin/node', IMAGE, '-e', hog],
  ])
  t.equal(code, 137)
})

t.test('a good token passes, everything else does not', async t => {
  const { container, application, signer, url, admin } = await startSidecar(t)
  const token = signer.sign(ALICE)
  const forged = createSigner({ arn: ARN, client: CLIENT, issuer: ISSUER, kid: signer.kid })

  t.equal((await get(`${url}/`)).status, 401, 'no token')
  t.equal((await get(`${url}/`, { 'X-Amzn-Oidc-Data': forged.sign(ALICE) })).status, 401, 'forged')
  t.equal(application.seen.length, 0, 'the application saw neither')

  const headers = { 'X-Amzn-Oidc-Data': token, X_Forwarded_User: 'mallory' }
  t.equal((await get(`${url}/`, headers)).status, 200, 'good')

  t.ok(application.seen[0]?.includes('alice@example.com'))
  t.notOk(application.seen[0]?.includes('mallory'))

  for (let requests = 0; requests < 500; requests++) {
    await get(`${url}/`, { 'X-Amzn-Oidc-Data': signer.sign(ALICE) })
  }
  t.comment(
    `resident after 500 requests, each with a token of its own: ${status(container, 'VmRSS')}`,
  )
  t.match(
    (await get(`${admin}/metrics`)).body,
    /alb_auth_rejections_total\{reason="signature_invalid",source="alb"\} 1\n/,
  )
})

t.test('SIGTERM lets a request in flight finish, and the exit code is 0', async t => {
  const { container, application, signer, url, admin } = await startSidecar(t)
  const answer = get(`${url}/held`, { 'X-Amzn-Oidc-Data': signer.sign(ALICE) })
  await until('the request has arrived', async () => application.waiting.length === 1)
  await container.signal('TERM')
  await until('not ready', async () => (await get(`${admin}/readyz`)).status === 503)
  application.waiting[0]?.()
  t.same(await answer, { status: 200, body: 'done' })
  t.equal(await container.ended(), 0)
})

t.test('a configuration that cannot be used ends with 78 and says all that is wrong', async t => {
  const { code, output } = await run('podman', [
    'run',
    '--rm',
    '--network=none',
    '--pull=never',
    IMAGE,
  ])
  t.equal(code, 78)
  t.match(output, /ALB_ARNS is required[^]*OIDC_ISSUER is required/)
})
