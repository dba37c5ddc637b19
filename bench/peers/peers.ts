/** Every peer by its name: what to start, and what must be installed for it. Each is started once, when first asked for. */

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Process, PROXY_CPU, freePort, missing, start } from '../processes.ts'
import { ARN, CLIENT, ISSUER, KEYS } from '../tokens.ts'
import { type World, compiled, imageFlags, inRepository } from '../world.ts'
import { startHaproxy } from './haproxy.ts'
import { hasLua, nginxForwards, startNginx } from './nginx.ts'
import { startNginxLua } from './nginx-lua.ts'
import { type Sidecar, startSidecar } from './sidecar.ts'

export type PeerSpec =
  | { readonly kind: Exclude<PeerKind, 'sidecar'> }
  | {
      readonly kind: 'sidecar'
      /** Those of different names are processes of their own. */
      readonly name?: string
      readonly settings?: Readonly<Record<string, string>>
      readonly cpu?: string
    }

export type PeerKind =
  | 'sidecar'
  | 'haproxy'
  | 'haproxy-jwt'
  | 'nginx'
  | 'nginx-lua'
  | 'http-proxy'
  | 'http-proxy-jose'
  | 'undici'
  | 'node'

export interface Peer extends Process {
  readonly url: string
  /** Of the sidecar only. */
  readonly sidecar?: Sidecar
}

/** What it does about identity, which is looked at before it is measured. */
export const VERIFIES: ReadonlySet<PeerKind> = new Set<PeerKind>([
  'sidecar',
  'haproxy-jwt',
  'nginx-lua',
  'http-proxy-jose',
])

/** Compiled before they run, so that they need no warming up. */
export const NATIVE: ReadonlySet<PeerKind> = new Set<PeerKind>(['haproxy', 'haproxy-jwt', 'nginx'])

/** What cannot be measured on this machine, in words; none: everything can. */
export function missingPeers(): readonly string[] {
  const commands = missing(['nginx', 'haproxy', 'wrk', 'taskset'])
  const require = createRequire(import.meta.url)
  const packages = ['http-proxy', 'jose', 'undici'].filter(name => {
    return !(require.resolve.paths(name) ?? []).some(path => existsSync(join(path, name)))
  })
  return [
    ...commands.map(name => `${name} (a command)`),
    ...packages.map(name => `${name} (an npm package)`),
    ...(hasLua() ? [] : ['libnginx-mod-http-lua (a Debian package)']),
  ]
}

type StartPeer = (world: World, port: number) => Promise<Process>

const inNode =
  (script: string, env: Readonly<Record<string, string>> = {}): StartPeer =>
  ({ directory, upstreamPort }, port) => {
    const args = [...imageFlags(), compiled(`peers/${script}.js`)]
    const upstream = `http://127.0.0.1:${upstreamPort}`
    return start(
      {
        command: process.execPath,
        args,
        env: { NODE_ENV: 'production', PORT: String(port), UPSTREAM_URL: upstream, ...env },
        cpu: PROXY_CPU,
        logFile: join(directory, `${script}.log`),
      },
      port,
    )
  }

const STARTS: Readonly<Record<Exclude<PeerKind, 'sidecar'>, StartPeer>> = {
  haproxy: (world, port) => startHaproxy(world, port, false),
  'haproxy-jwt': (world, port) => startHaproxy(world, port, true),
  nginx: (world, port) => {
    const { http, pass } = nginxForwards(world.upstreamPort)
    const locations = `location / { ${pass} }`
    return startNginx(world, { name: 'nginx', cpu: PROXY_CPU, port, locations, http })
  },
  'nginx-lua': startNginxLua,
  'http-proxy': inNode('http-proxy'),
  'http-proxy-jose': inNode('http-proxy', {
    ...{ VERIFY: 'both', ALB_PEM: KEYS.albPem, POOL_PEM: KEYS.poolPem },
    ...{ ARN, CLIENT, ISSUER },
  }),
  undici: inNode('undici'),
  node: inNode('node-alone'),
}

/** Starts peers as they are asked for, and ends them all. */
export function createPeers(world: World) {
  const started = new Map<string, Promise<Peer>>()

  const startOne = async (spec: PeerSpec): Promise<Peer> => {
    if (spec.kind === 'sidecar') {
      const sidecar = await startSidecar(world, spec)
      return { ...sidecar, sidecar }
    }
    const port = await freePort()
    return { ...(await STARTS[spec.kind](world, port)), url: `http://127.0.0.1:${port}` }
  }

  return {
    peer: (spec: PeerSpec): Promise<Peer> => {
      const key = JSON.stringify(spec)
      const peer = started.get(key) ?? startOne(spec)
      started.set(key, peer)
      return peer
    },
    stop: async (): Promise<void> => {
      for (const peer of started.values()) await (await peer).stop()
      started.clear()
    },
  }
}

/** The dependency of the package.json, whose versions a table names. */
export const versionsFrom = (names: readonly string[]): readonly string[] => {
  const require = createRequire(inRepository('package.json'))
  return names.map(name => {
    const manifest: unknown = require(inRepository(`node_modules/${name}/package.json`))
    const isNamed = typeof manifest === 'object' && manifest !== null && 'version' in manifest
    return `${name} ${isNamed ? String(manifest.version) : 'unknown'}`
  })
}
