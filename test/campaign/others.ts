/**
 * What one would use instead, to be attacked in the same way: the sidecar that anybody would write first
 * (test/attack/naive.mjs), nginx with `auth_request`, HAProxy with its own check of tokens. Each is set
 * up as its manual says, with the two identity headers set or deleted, and everything below `/open/` open.
 */
import { spawn } from 'node:child_process'
import { createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Signer } from '../../simulator/signer.ts'
import { ALICE, createLastingSigner } from '../fixtures/sidecar.ts'
import { createScope, type Target } from './target.ts'

export const OTHERS = ['naive', 'nginx', 'haproxy'] as const
export type Other = (typeof OTHERS)[number]

/** How each is started in front of an application, and where it then listens. */
interface Started {
  readonly port: number
  readonly kill: () => Promise<void>
  readonly hasEnded: () => boolean
}

export async function startOther(name: Other, upstreamPort: number): Promise<Target> {
  const signer = createLastingSigner()
  const scope = createScope()
  const start = { naive: startNaive, nginx: startNginx, haproxy: startHaproxy }[name]
  // Neither nginx's way nor HAProxy's is helped by padding.
  const token = signer.sign(ALICE, { padding: false })
  let running = await start(signer, upstreamPort, scope)
  return {
    name,
    get port() {
      return running.port
    },
    token,
    assertable: {
      'x-amzn-oidc-data': [token],
      'x-forwarded-user': [ALICE.email],
      'x-forwarded-groups': [],
    },
    letThrough: () => Promise.resolve(undefined),
    isAlive: () => Promise.resolve(!running.hasEnded()),
    restart: async () => {
      running = await start(signer, upstreamPort, scope)
    },
    close: async () => {
      await running.kill()
      await scope.close()
    },
  }
}

type Scope = ReturnType<typeof createScope>

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(command, args, {
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin`, ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  let hasEnded = false
  const ended = once(child, 'exit')
    .catch(() => undefined)
    .then(() => {
      hasEnded = true
      process.off('exit', kill)
    })
  return {
    stdout: child.stdout,
    hasEnded: () => hasEnded,
    kill: async () => {
      kill()
      await ended
    },
  }
}

async function startNaive(signer: Signer, upstreamPort: number): Promise<Started> {
  const program = run(process.execPath, ['test/attack/naive.mjs'], {
    UPSTREAM: `http://127.0.0.1:${upstreamPort}`,
    PUBLIC_KEY: signer.publicKeyPem,
  })
  const [text] = (await once(program.stdout, 'data')) as [Buffer]
  return { ...program, port: Number(text.toString()) }
}

async function startNginx(signer: Signer, upstreamPort: number, scope: Scope): Promise<Started> {
  const judge = createHttpServer((request, response) => {
    const user = userOf(request.headers['x-amzn-oidc-data'], signer)
    if (user === undefined) response.writeHead(401).end()
    else response.writeHead(200, { 'X-User': user }).end()
  })
  judge.listen(0, '127.0.0.1')
  await once(judge, 'listening')
  scope.teardown(() => {
    judge.closeAllConnections()
    judge.close()
  })
  const { port: judgePort } = judge.address() as { port: number }
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'campaign-'))
  scope.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const forget = ['X-Forwarded-Groups', 'X-Amzn-Oidc-Data', 'X-Amzn-Oidc-Identity']
    .concat('X-Amzn-Oidc-Accesstoken', 'X-Amzn-Oidc-Invented')
    .map(name => `proxy_set_header ${name} "";`)
    .join(' ')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  const configuration = `
    daemon off; master_process off; pid ${folder}/pid; error_log /dev/null;
    events { worker_connections 512; }
    http {
      access_log off; ${paths} large_client_header_buffers 8 64k;
      upstream application { server 127.0.0.1:${upstreamPort}; keepalive 32; }
      server {
        listen 127.0.0.1:${port};
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
        location /open/ { proxy_set_header X-Forwarded-User ""; ${forget}
          proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://application; }
        location / { auth_request /judge; auth_request_set $who $upstream_http_x_user;
          proxy_set_header X-Forwarded-User $who; ${forget}
          proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://application; }
        location = /judge { internal; proxy_pass_request_body off;
          proxy_set_header Content-Length ""; proxy_pass http://127.0.0.1:${judgePort}; }
      }
    }`
  writeFileSync(join(folder, 'nginx.conf'), configuration)
  return listening({ ...run('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')]), port })
}

async function startHaproxy(signer: Signer, upstreamPort: number, scope: Scope): Promise<Started> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'campaign-'))
  scope.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  writeFileSync(join(folder, 'key.pem'), signer.publicKeyPem)
  const configuration = `
global
  maxconn 512
  tune.bufsize 131072
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  timeout http-request 2s
  timeout http-keep-alive 2s
frontend sidecar
  bind 127.0.0.1:${port}
  http-request del-header X-Forwarded-User
  http-request del-header X-Forwarded-Groups
  http-request set-var(txn.token) req.hdr(x-amzn-oidc-data)
  http-request set-var(txn.valid) var(txn.token),jwt_verify("ES256","${folder}/key.pem")
  http-request del-header x-amzn-oidc- -m beg
  acl valid var(txn.valid) -m int 1
  acl open path_beg /open/
  http-request set-header X-Forwarded-User %[var(txn.token),jwt_payload_query('$.email')] if valid
  http-request deny deny_status 401 unless open or valid
  default_backend application
backend application
  server application 127.0.0.1:${upstreamPort}
`
  writeFileSync(join(folder, 'haproxy.cfg'), configuration)
  return listening({ ...run('haproxy', ['-db', '-q', '-f', join(folder, 'haproxy.cfg')]), port })
}

/** What a token says, if it is signed by `signer`'s key and not over. */
function userOf(token: unknown, { publicKeyPem }: Signer): string | undefined {
  const [header = '', payload = '', signature = ''] =
    typeof token === 'string' ? token.split('.') : []
  const key = { key: createPublicKey(publicKeyPem), dsaEncoding: 'ieee-p1363' } as const
  const bytes = Buffer.from(signature, 'base64url')
  if (!verify('sha256', Buffer.from(`${header}.${payload}`), key, bytes)) return undefined
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
  return Number(claims['exp']) > Date.now() / 1_000 ? String(claims['email']) : undefined
}

/** A port that nobody has now; somebody may have it a moment later. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function listening(started: Started): Promise<Started> {
  for (let tries = 0; tries < 600 && !started.hasEnded(); tries++) {
    const socket = connect({ port: started.port, host: '127.0.0.1' })
    const isThere = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isThere) return started
    await sleep(50)
  }
  throw new Error('does not listen: is it installed?')
}
