/**
 * nginx with Lua, which calls OpenSSL for both signatures through LuaJIT's foreign functions: Debian has
 * no library for it. Here for its speed; nothing to run.
 */

import { type Process, PROXY_CPU } from '../processes.ts'
import { ARN, CLIENT, ISSUER, KEYS } from '../tokens.ts'
import { type World, inSource } from '../world.ts'
import { nginxForwards, startNginx } from './nginx.ts'

export function startNginxLua(world: World, port: number): Promise<Process> {
  const { http, pass } = nginxForwards(world.upstreamPort)
  const settings = {
    alb: KEYS.albPem,
    pool: KEYS.poolPem,
    arn: ARN,
    client: CLIENT,
    issuer: ISSUER,
  }
  const fields = Object.entries(settings).map(([name, value]) => `${name} = [[${value}]]`)
  world.write('bench_settings.lua', `return { ${fields.join(', ')} }`)
  return startNginx(world, {
    name: 'nginx-lua',
    cpu: PROXY_CPU,
    port,
    lua: true,
    http: `${http}
  init_by_lua_block {
    package.path = '${world.directory}/?.lua;${inSource('peers')}/?.lua;' .. package.path
    verify = require 'nginx-verify'
  }`,
    locations: `
    location /open/ { ${pass} }
    location / {
      access_by_lua_block { verify(ngx) }
      ${pass}
    }`,
  })
}
