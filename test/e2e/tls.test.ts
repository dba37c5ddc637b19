/**
 * The TLS listener as an operator meets it: what ends the start, how certificates are renewed under
 * living connections, and how the program leaves.
 */
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import http from 'node:http'
import { X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { eventually } from '../attack/rows.ts'
import { createAuthority, type Issued, type Wishes } from '../fixtures/certificates.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import { lines, openRaw, readAnswer } from '../fixtures/raw.ts'
import { ALICE, SETTINGS, runProgram, startListening, startRig } from '../fixtures/sidecar.ts'
import { logged, signedIn, visit } from '../fixtures/visit.ts'

// Each test has a program of its own, and waits for it most of the time.
t.jobs = 4

const folder = mkdtempSync(join(tmpdir(), 'tls-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})
const authority = await createAuthority()
const trusting = { ca: authority.certificate, servername: 'localhost' }

let written = 0

/** The path of a file with this text. */
function writeFile(text: string): string {
  const path = join(folder, `file-${++written}`)
  writeFileSync(path, text)
  return path
}

const filesOf = ({ certificate, key }: Issued) => ({
  TLS_CERT_FILE: writeFile(certificate),
  TLS_KEY_FILE: writeFile(key),
})

/** The fingerprint of the certificate that a new connection is shown. */
async function shownAt(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', ...trusting })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

const fingerprintOf = ({ certificate }: Issued) => new X509Certificate(certificate).fingerprint256

t.test('a listener that could not do a handshake ends the start', async t => {
  const [one, two] = await Promise.all([authority.issue(), authority.issue()])
  const [files, others] = [filesOf(one), filesOf(two)]
  const rows = [
    {
      settings: { TLS_CERT_FILE: files.TLS_CERT_FILE },
      fault: /^ {2}TLS_KEY_FILE is required: TLS_CERT_FILE is set$/m,
    },
    {
      settings: { ...files, TLS_KEY_FILE: others.TLS_KEY_FILE },
      fault: /^ {2}TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE$/m,
    },
    {
      settings: { ...files, TLS_CERT_FILE: join(folder, 'nowhere') },
      fault: /^ {2}TLS_CERT_FILE cannot be read: ENOENT/m,
    },
    {
      settings: { ...files, TLS_SELF_SIGNED: 'true' },
      fault: /^ {2}TLS_SELF_SIGNED must not be true while TLS_CERT_FILE is set/m,
    },
    {
      settings: { UPSTREAM_URL: 'https://localhost:1', UPSTREAM_CA_FILE: files.TLS_KEY_FILE },
      fault: /^ {2}UPSTREAM_CA holds no PEM certificate$/m,
    },
  ]
  await Promise.all(
    rows.map(async ({ settings, fault }) => {
      const program = runProgram(t, { ...SETTINGS, ...settings })
      t.equal(await program.ended, 'exit 78')
      t.match(program.stderr(), fault)
      t.notMatch(program.stderr() + program.stdout(), /PRIVATE KEY|MI[A-Za-z0-9+/]{40}/)
    }),
  )
})

const application = http.createServer((request, response) => {
  response.end(`${request.url ?? ''} ${JSON.stringify(request.rawHeaders)}`)
})
application.listen(0, '127.0.0.1')
await once(application, 'listening')
t.teardown(() => {
  application.closeAllConnections()
  application.close()
})
const UPSTREAM_URL = `http://127.0.0.1:${(application.address() as AddressInfo).port}`

/** Swaps what is mounted at `place` as the kubelet does: by a link above the links to the files. */
function mount(place: string, version: string, { certificate, key }: Issued): void {
  mkdirSync(join(place, version), { recursive: true })
  writeFileSync(join(place, version, 'tls.crt'), certificate)
  writeFileSync(join(place, version, 'tls.key'), key)
  symlinkSync(version, join(place, '..data_tmp'))
  renameSync(join(place, '..data_tmp'), join(place, '..data'))
}

t.test('a renewed certificate is shown, and living connections go on', async t => {
  const [one, two, three, four, five] = await Promise.all(
    Array.from({ length: 5 }, () => authority.issue()),
  )
  const place = join(folder, 'mounted')
  mount(place, '..1', one!)
  const [TLS_CERT_FILE, TLS_KEY_FILE] = [join(place, 'tls.crt'), join(place, 'tls.key')]
  symlinkSync(join('..data', 'tls.crt'), TLS_CERT_FILE)
  symlinkSync(join('..data', 'tls.key'), TLS_KEY_FILE)
  const { port, times, stdout, signal, ended } = await startListening(t, {
    ...{ UPSTREAM_URL, TLS_CERT_FILE, TLS_KEY_FILE, NOAUTH_PATHS: '/open/*' },
    KEEP_ALIVE_TIMEOUT: '10m',
  })
  const living = openRaw(port, trusting)
  living.write(lines('GET /open/first HTTP/1.1', 'Host: a'))
  t.ok(await living.until(/\/open\/first \[.*\]/, PATIENCE_MS))
  t.equal(await shownAt(port), fingerprintOf(one!))
  const isShown = (pair: Issued) =>
    eventually(async () => (await shownAt(port)) === fingerprintOf(pair), PATIENCE_MS)

  mount(place, '..2', two!)
  rmSync(join(place, '..1'), { recursive: true })
  t.ok(await isShown(two!), 'a link was swapped')

  writeFileSync(join(place, 'new.crt'), three!.certificate)
  writeFileSync(join(place, 'new.key'), three!.key)
  renameSync(join(place, 'new.crt'), TLS_CERT_FILE)
  renameSync(join(place, 'new.key'), TLS_KEY_FILE)
  t.ok(await isShown(three!), 'files were renamed')

  const refused = () => times('certificate not loaded, the one before stays in use')
  const before = refused()
  writeFileSync(TLS_CERT_FILE, four!.certificate)
  t.ok(await eventually(() => refused() > before, PATIENCE_MS), 'half of a pair is told of')
  t.match(stdout(), /TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE/)
  t.equal(await shownAt(port), fingerprintOf(three!), 'and the old one stays')
  writeFileSync(TLS_KEY_FILE, four!.key)
  t.ok(await isShown(four!), 'files were written in place, in two steps')

  const loaded = times('certificate loaded')
  signal('SIGHUP')
  t.ok(await eventually(() => times('certificate loaded') > loaded, PATIENCE_MS), 'on SIGHUP')
  const told = refused()
  writeFileSync(TLS_KEY_FILE, 'no key')
  signal('SIGHUP')
  t.ok(await eventually(() => refused() > told, PATIENCE_MS), 'a bad one is told of')
  t.equal(await shownAt(port), fingerprintOf(four!), 'and the old one stays')
  writeFileSync(TLS_CERT_FILE, five!.certificate)
  writeFileSync(TLS_KEY_FILE, five!.key)
  signal('SIGHUP')
  t.ok(await isShown(five!), 'a good one is shown')
  for (const options of [{ maxVersion: 'TLSv1.1' as const }, { ALPNProtocols: ['h2'] }]) {
    const old = openRaw(port, {
      ...{ ...trusting, ...options, minVersion: 'TLSv1' as const },
      ciphers: 'ALL:@SECLEVEL=0',
    })
    old.write(lines('GET /open/late HTTP/1.1', 'Host: a'))
    t.ok(await old.closed(PATIENCE_MS))
    t.equal(old.text(), '', 'what was not spoken before is not spoken after')
  }

  living.write(lines('GET /open/last HTTP/1.1', 'Host: a'))
  t.ok(await living.until(/\/open\/first [^]*\/open\/last \[.*\]/, PATIENCE_MS), 'still alive')
  living.reset()

  const [lineOfOne] = logged(stdout()).filter(({ msg }) => msg === 'certificate in use')
  t.same(Object.keys(lineOfOne ?? {}).sort(), [
    ...['fingerprint256', 'level', 'msg', 'notAfter', 'notBefore', 'time'],
  ])
  t.equal(lineOfOne?.['fingerprint256'], fingerprintOf(one!))
  for (const { key } of [one!, two!, three!, four!, five!]) {
    const material = key.split('\n').slice(1, -2)
    t.notOk(
      material.some(line => stdout().includes(line)),
      'no key is written down',
    )
  }
  signal('SIGTERM')
  t.equal(await ended, 'exit 0')
})

t.test('a certificate that is out of date is used, and warned of', async t => {
  const day = 86_400_000
  const wishes: readonly (readonly [Wishes, RegExp])[] = [
    [{ notAfter: new Date(Date.now() - day) }, /TLS_CERT_FILE: the certificate expired on/],
    [{ notBefore: new Date(Date.now() + day) }, /TLS_CERT_FILE: the certificate is not valid be/],
  ]
  for (const [wish, warning] of wishes) {
    const { port, stdout } = await startListening(t, {
      ...filesOf(await authority.issue(wish)),
      UPSTREAM_URL,
    })
    t.match(stdout(), warning)
    const client = openRaw(port, { rejectUnauthorized: false })
    client.write(lines('GET / HTTP/1.1', 'Host: a'))
    t.ok(await client.until(/^HTTP\/1\.1 401 /, PATIENCE_MS), 'an ALB does not mind')
    client.reset()
  }
})

t.test('a self-signed listener, an application on a unix socket, and leaving', async t => {
  const held: (() => void)[] = []
  const local = http.createServer((request, response) => {
    if (request.url === '/held') held.push(() => response.end('held'))
    else response.end(JSON.stringify(request.rawHeaders))
  })
  const socketPath = join(folder, 'app.sock')
  local.listen(socketPath)
  await once(local, 'listening')
  t.teardown(() => {
    local.closeAllConnections()
    local.close()
  })
  const rig = await startRig(t, 0, {
    ...{ UPSTREAM_URL: `unix:${socketPath}`, TLS_SELF_SIGNED: 'true' },
    ...{ DRAIN_TIMEOUT: '10m', HEADERS_TIMEOUT: '10m' },
  })
  const tls = { rejectUnauthorized: false }
  const headers = signedIn(rig.token())
  const { status, body } = await visit(rig.port, { headers, tls })
  t.equal(status, 200)
  t.match(body, new RegExp(`"X-Forwarded-User","${ALICE.email}"`))

  const idle = openRaw(rig.port, tls)
  idle.write(lines('GET / HTTP/1.1', 'Host: a'))
  t.ok(await idle.until(/ 401 [^]*\}/, PATIENCE_MS))
  const silent = openRaw(rig.port)
  const busy = openRaw(rig.port, tls)
  busy.write(lines('GET /held HTTP/1.1', 'Host: a', ...headers))
  t.ok(await eventually(() => held.length === 1, PATIENCE_MS))

  const ended = rig.stop()
  t.ok(await idle.closed(PATIENCE_MS), 'an idle connection is closed')
  t.ok(await silent.closed(PATIENCE_MS), 'and one that has not even begun its handshake')
  held[0]?.()
  t.ok(await busy.closed(PATIENCE_MS))
  t.match(readAnswer(busy.text()), { status: 200, body: 'held', whole: true }, 'none in flight is')
  t.equal(await ended, 'exit 0')
})

t.test('every worker shows the renewed certificate', async t => {
  const [one, two] = await Promise.all([authority.issue(), authority.issue()])
  const files = filesOf(one)
  const { port, times, signal, ended } = await startListening(t, {
    ...{ ...files, UPSTREAM_URL, WORKERS: '2' },
  })
  t.equal(await shownAt(port), fingerprintOf(one))
  signal('SIGHUP')
  t.ok(await eventually(() => times('certificate loaded') === 2, PATIENCE_MS), 'on SIGHUP, all')
  writeFileSync(files.TLS_CERT_FILE, two.certificate)
  writeFileSync(files.TLS_KEY_FILE, two.key)
  t.ok(await eventually(() => times('certificate loaded') === 4, PATIENCE_MS), 'on a change, all')
  const shown = await Promise.all(Array.from({ length: 8 }, () => shownAt(port)))
  t.same(new Set(shown), new Set([fingerprintOf(two)]))
  signal('SIGTERM')
  t.equal(await ended, 'exit 0')
})

t.test('the library that makes certificates is loaded only where one is asked for', t => {
  const files = readdirSync('dist', { recursive: true, encoding: 'utf8' })
  const isLoading = (name: string) =>
    /^import .*['"](?:asn1js|pkijs|.*self-signed\.js)['"]/m.test(
      readFileSync(join('dist', name), 'utf8'),
    )
  t.same(files.filter(name => name.endsWith('.js')).filter(isLoading), [
    join('tls', 'self-signed.js'),
  ])
  t.end()
})
