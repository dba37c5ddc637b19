/**
 * What a case is set in: a signer, a key server, an application and the built program, put together as
 * the case needs them and taken down with it, in reverse order.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startKeyServer, type KeyServer } from '../../simulator/key-server.ts'
import { createSigner, type Signer } from '../../simulator/signer.ts'
import { end, startProgram, type Program, type ProgramOptions } from './program.ts'

export const ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/faults/0123456789abcdef'
export const CLIENT = 'faults-client'
export const ISSUER = 'https://idp.example.com'
export const EMAIL = 'alice@example.com'
export const ALICE = { sub: '6f1c2a34-0000-4000-8000-00000000a11c', email: EMAIL }
/** Below it nobody needs a token. */
export const OPEN = '/open/'

/** Ahead of the signer's clock, so that a token outlives the longest case. */
const AHEAD_MS = 6 * 3_600_000

export interface World {
  readonly isShort: boolean
  /** Called when the case is over, the latest first. */
  readonly onEnd: (undo: () => unknown) => void
  /** A folder that goes with the case. */
  readonly folder: () => string
  readonly sidecar: (
    settings: Readonly<Record<string, string>>,
    options?: Omit<Partial<ProgramOptions>, 'script'>,
  ) => Promise<Program>
  /** The application of application.ts in a process of its own; `port` 0 for any. */
  readonly application: (port?: number) => Promise<Program>
  readonly keyServer: (signers: readonly Signer[]) => Promise<KeyServer>
  /** Listens on any free port of 127.0.0.1. @returns The port. */
  readonly listen: (server: Server) => Promise<number>
}

/** A key of the one load balancer that is trusted. Its tokens are good for six hours. */
export const newSigner = (kid?: string): Signer =>
  createSigner({
    ...{ arn: ARN, client: CLIENT, issuer: ISSUER },
    ...(kid !== undefined && { kid }),
    now: () => Date.now() + AHEAD_MS,
  })

/** The headers of a signed-in user. */
export const signedIn = (signer: Signer, claims: Readonly<Record<string, unknown>> = ALICE) => ({
  'X-Amzn-Oidc-Data': signer.sign(claims),
})

/**
 * What `sidecar` needs to be told of a key server and an application; and to be patient with both, so
 * that what is counted does not depend on the machine. Cases about these times set them.
 */
export const settingsFor = (keys: Pick<KeyServer, 'url'>, upstreamPort: number) => ({
  KEY_FETCH_TIMEOUT: '20s',
  UPSTREAM_CONNECT_TIMEOUT: '20s',
  ALB_KEY_URL: `${keys.url}/{region}/{kid}`,
  UPSTREAM_URL: `http://127.0.0.1:${upstreamPort}`,
})

export function createWorld(isShort: boolean): World & { readonly end: () => Promise<void> } {
  const undos: (() => unknown)[] = []
  const onEnd = (undo: () => unknown) => {
    undos.push(undo)
  }
  const start = async (options: ProgramOptions) => {
    const program = await startProgram(options)
    onEnd(() => end(program))
    return program
  }
  return {
    isShort,
    onEnd,
    folder: () => {
      const folder = mkdtempSync(join(tmpdir(), 'faults-'))
      onEnd(() => {
        rmSync(folder, { recursive: true })
      })
      return folder
    },
    sidecar: (settings, options = {}) =>
      start({
        ...options,
        script: ['dist/main.js'],
        env: {
          ...{ HOST: '127.0.0.1', PORT: '0', ADMIN_HOST: '127.0.0.1', ADMIN_PORT: '0' },
          ALB_ARNS: ARN,
          ALB_CLIENT_IDS: CLIENT,
          OIDC_ISSUER: ISSUER,
          NOAUTH_PATHS: `${OPEN}*`,
          ...settings,
          ...options.env,
        },
      }),
    application: (port = 0) =>
      start({
        script: [fileURLToPath(new URL('application.js', import.meta.url))],
        env: { PORT: String(port) },
      }),
    keyServer: async keys => {
      const server = await startKeyServer({ keys })
      onEnd(server.close)
      return server
    },
    listen: server =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(0, '127.0.0.1', () => {
          const address = server.address()
          if (address === null || typeof address === 'string') reject(new Error('no port'))
          else resolve(address.port)
        })
        onEnd(() => server.close())
      }),
    end: async () => {
      for (const undo of undos.splice(0).reverse()) await undo()
    },
  }
}
