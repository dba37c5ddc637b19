/**
 * The application behind every proxy: nginx, which answers by itself. It also serves the public keys,
 * and says in the answers of `/api/whoami` and `/open/whoami` whom it was told about.
 */

import { mkdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { LOAD_CPU, freePort } from '../processes.ts'
import { ARN, KEYS } from '../tokens.ts'
import type { createDirectory } from '../world.ts'
import { startNginx } from './nginx.ts'

const [, , , REGION = ''] = ARN.split(':')

/** Reads and drops a body piece by piece; nginx itself would answer before it has it. */
const SWALLOW = `content_by_lua_block {
  local socket = ngx.req.socket()
  while socket and socket:receiveany(65536) do end
  ngx.header['Content-Length'] = 2
  ngx.print('ok')
}`

/** @param bodies Sizes in bytes of the answers under `/open/bytes/SIZE`. */
export async function startUpstream(
  { directory, write }: ReturnType<typeof createDirectory>,
  bodies: readonly number[],
) {
  const files = ['bytes', 'keys', `keys/${REGION}`]
  for (const name of files) mkdirSync(join(directory, name), { recursive: true })
  write(`keys/${REGION}/${KEYS.albKid}`, KEYS.albPem)
  write('keys/jwks.json', KEYS.jwks)
  for (const size of bodies) truncateSync(write(`bytes/${size}`, ''), size)

  const port = await freePort()
  const locations = `
    location / { return 200 "ok"; }
    location ~ /whoami$ { return 200 "user=$http_x_forwarded_user;"; }
    location ~ /swallow$ { ${SWALLOW} }
    location /keys/ { root ${directory}; }
    location /open/bytes/ { alias ${directory}/bytes/; }`
  const upstream = await startNginx(
    { directory, write },
    { name: 'upstream', cpu: LOAD_CPU, port, locations, lua: true },
  )
  return { ...upstream, port }
}
