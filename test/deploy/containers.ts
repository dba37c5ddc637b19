/**
 * Containers by podman and runc, as `.ci/containers.sh` has set them up: no registry, no bridge, and
 * nothing that listens anywhere but on loopback or in a network of its own.
 */
import type { Test } from 'tap'
import { must, run, type Answer } from './patience.ts'

export const { IMAGE = '', APP_IMAGE = '', RUNTIME_IMAGE = '' } = process.env

/** What every platform that runs the image should ask for; the manifests do. */
export const HARDENED = [
  '--read-only',
  '--read-only-tmpfs=false',
  '--cap-drop=ALL',
  '--security-opt=no-new-privileges',
  '--memory=256m',
]

export interface Container {
  readonly name: string
  /** Of its first process, as this machine counts. */
  readonly pid: number
  readonly log: () => Promise<string>
  /** Node in the container's own namespaces; what the script wrote. */
  readonly evaluate: (script: string) => Promise<string>
  readonly signal: (name: 'TERM' | 'KILL') => Promise<string>
  /** The exit code of its first process, once it has ended. */
  readonly ended: () => Promise<number>
}

let count = 0

/** Starts a container in the background; it is removed when the test is over. */
export async function startContainer(
  t: Pick<Test, 'teardown'>,
  options: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Container> {
  const name = `alb-auth-test-${process.pid}-${++count}`
  t.teardown(() => run('podman', ['rm', '--force', '--time', '0', name]))
  const variables = Object.entries(settings).map(
    ([variable, value]) => `--env=${variable}=${value}`,
  )
  const fixed = ['--detach', '--pull=never', '--no-healthcheck', `--name=${name}`]
  await must('podman', ['run', ...fixed, ...variables, ...options])
  return containerNamed(name)
}

/** A container that runs already. */
export async function containerNamed(name: string): Promise<Container> {
  const pid = Number(await must('podman', ['inspect', '--format={{.State.Pid}}', name]))
  return {
    name,
    pid,
    log: async () => (await run('podman', ['logs', name])).output,
    evaluate: script => must('podman', ['exec', name, '/nodejs/bin/node', '-e', script]),
    signal: signal => must('podman', ['kill', `--signal=${signal}`, name]),
    ended: async () => Number(await must('podman', ['wait', name])),
  }
}

/** Runs in the network of a container, where no browser gets: one request, and its answer as JSON. */
const ASK = `
  const [url, headers] = process.argv.slice(1)
  const request = require(url.split(':')[0]).request(url, {
    headers: JSON.parse(headers),
    rejectUnauthorized: false,
    timeout: 60000,
  })
  const say = answer => process.stdout.write(JSON.stringify(answer))
  request.on('error', error => say({ status: 0, body: error.message }))
  request.on('response', async response => {
    let body = ''
    for await (const chunk of response) body += chunk
    say({ status: response.statusCode, body })
  })
  request.end()`

/** One request from within the container's own network. `status` 0: nobody answered. */
export async function getInside(
  { pid }: Pick<Container, 'pid'>,
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const inside = ['--target', String(pid), '--net', process.execPath, '-e', ASK]
  const said = await must('nsenter', [...inside, '--', url, JSON.stringify(headers)])
  return JSON.parse(said) as Answer
}
