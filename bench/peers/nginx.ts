/** nginx as one process on one port, writing nothing: the application, and the physical limit of a proxy. */

import { existsSync } from 'node:fs'
import { type Process, start } from '../processes.ts'
import type { World } from '../world.ts'

const LUA_MODULES = ['ndk_http_module', 'ngx_http_lua_module'].map(
  name => `/usr/lib/nginx/modules/${name}.so`,
)

/** Debian's libnginx-mod-http-lua. */
export const hasLua = (): boolean => LUA_MODULES.every(path => existsSync(path))

export interface NginxOptions {
  readonly name: string
  readonly cpu: number
  readonly port: number
  /** `location` blocks, and what else belongs in `server`. */
  readonly locations: string
  /** What else belongs in `http`. */
  readonly http?: string
  readonly lua?: boolean
}

export function startNginx(
  { directory, write }: Pick<World, 'directory' | 'write'>,
  { name, cpu, port, locations, http = '', lua = false }: NginxOptions,
): Promise<Process> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    kind => `${kind}_temp_path ${directory}/${name}-${kind};`,
  )
  const file = write(
    `${name}.conf`,
    `
daemon off;
master_process off;
pid ${directory}/${name}.pid;
error_log ${directory}/${name}.log warn;
${lua ? LUA_MODULES.map(path => `load_module ${path};`).join('\n') : ''}
events { worker_connections 8192; }
http {
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  large_client_header_buffers 8 64k;
  client_max_body_size 0;
  ${temporary.join('\n  ')}
  ${http}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    ${locations}
  }
}
`,
  )
  const args = ['-e', `${directory}/${name}.log`, '-c', file]
  return start({ command: 'nginx', args, cpu, logFile: `${directory}/${name}.log` }, port)
}

/** Forwarding over connections that are kept. */
export const nginxForwards = (upstreamPort: number) => ({
  http: `upstream application {
    server 127.0.0.1:${upstreamPort};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }`,
  pass: `proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_pass http://application;`,
})
