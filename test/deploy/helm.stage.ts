/**
 * The chart, rendered by Helm with every file of values in its `ci/`: what Kubernetes would say of it, what
 * it must say for itself, what the sidecar makes of its settings; and one pod of it, run.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { createSigner } from '../../simulator/signer.ts'
import { loadConfig } from '../../src/config/config.ts'
import { NOAUTH_PRESETS } from '../../src/route/presets.ts'
import { ALICE } from '../fixtures/sidecar.ts'
import { APP_IMAGE, containerNamed, getInside, IMAGE } from './containers.ts'
import { must, run, until } from './patience.ts'

const { HELM = 'helm', TOOLS = '', NODE24 = 'node' } = process.env
const CHART = 'helm/alb-auth-sidecar'
const KUBERNETES = ['--kube-version', '1.33.0']

interface Yaml {
  readonly parseAllDocuments: (text: string) => readonly { toJS: () => unknown }[]
  readonly stringify: (value: unknown) => string
}
const yaml = createRequire(`${TOOLS}/helm.js`)('yaml') as Yaml

interface Container {
  readonly name: string
  readonly image: string
  readonly restartPolicy?: string
  readonly env?: readonly { readonly name: string; readonly value: string }[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
  readonly securityContext?: Readonly<Record<string, unknown>>
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number
  readonly initContainers?: readonly Container[]
  readonly containers: readonly Container[]
}

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec?: Readonly<Record<string, unknown>>
  readonly data?: Readonly<Record<string, string>>
}

/** What Kubernetes would refuse of each of these texts, asked of one process: it loads for seconds. */
async function faultsOf(texts: Readonly<Record<string, string>>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'manifests-'))
  try {
    const files = Object.entries(texts).map(([name, text]) => {
      writeFileSync(join(folder, name), text)
      return name
    })
    const script = join(process.cwd(), 'test/deploy/manifest-faults.mjs')
    const { code, output } = await run('env', [`--chdir=${folder}`, NODE24, script, ...files])
    const faults = output.split('\n').filter(line => line !== '')
    if (code !== 0 && faults.length === 0) throw new Error(`manifest-faults: exit ${code}`)
    return faults
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const parsed = (text: string) =>
  yaml
    .parseAllDocuments(text)
    .map(document => document.toJS() as Manifest | null)
    .filter(manifest => manifest !== null)

async function render(values: string, more: readonly string[] = []): Promise<Manifest[]> {
  return parsed(await must(HELM, ['template', 'r', CHART, ...KUBERNETES, '-f', values, ...more]))
}

function named(manifests: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = manifests.find(
    each => each.kind === kind && (name === undefined || each.metadata.name === name),
  )
  if (found === undefined) throw new Error(`no ${kind} ${name ?? ''}`)
  return found
}

function podOf(manifests: readonly Manifest[]): PodSpec {
  const { template } = named(manifests, 'Deployment').spec as { template: { spec: PodSpec } }
  return template.spec
}

function sidecarOf({ initContainers = [], containers }: PodSpec): Container {
  const found = [...initContainers, ...containers].find(({ name }) => name === 'alb-auth-sidecar')
  if (found === undefined) throw new Error('no sidecar')
  return found
}

/** Path and back end of everything that an ingress routes. */
function pathsOf(ingress: Manifest): string[] {
  const { rules } = ingress.spec as { rules: { http: { paths: { path: string }[] } }[] }
  return rules.flatMap(({ http }) => http.paths.map(({ path }) => path))
}

const VALUES = readdirSync(`${CHART}/ci`).map(name => `${CHART}/ci/${name}`)

/** By file of values; what Kubernetes makes of them is asked at the end, of all at once. */
const rendered: Record<string, string> = {}

t.ok(VALUES.length >= 6, 'there are six files of values or more')
for (const values of VALUES) {
  t.test(values, async t => {
    const lint = await run(HELM, ['lint', '--strict', ...KUBERNETES, CHART, '-f', values])
    t.equal(lint.code, 0, `helm lint --strict: ${lint.output}`)

    const text = await must(HELM, ['template', 'r', CHART, ...KUBERNETES, '-f', values])
    rendered[basename(values)] = text

    const pod = podOf(parsed(text))
    const sidecar = sidecarOf(pod)
    t.match(sidecar.securityContext, {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: 65532,
    })
    const environment = Object.fromEntries(
      (sidecar.env ?? []).map(({ name, value }) => [name, value]),
    )
    // What it is a path of is not there.
    delete environment['ALB_KEYS_DIR']
    const { config, warnings } = loadConfig(environment)
    t.same(
      warnings.filter(({ text }) => !/^(UNSAFE|ENFORCEMENT)/.test(text)),
      [],
      'the sidecar takes the settings and warns of nothing',
    )
    t.same(
      sidecar.ports?.map(({ containerPort }) => containerPort),
      [config.port, config.adminPort],
      'the ports are the ones that it listens on',
    )
    const drainSeconds = Math.ceil((config.drainDelayMs + config.drainTimeoutMs) / 1000)
    t.ok(pod.terminationGracePeriodSeconds > drainSeconds, 'it may drain to the end')
    const application = pod.containers.find(({ name }) => name !== 'alb-auth-sidecar')
    const wait = application?.lifecycle?.preStop.sleep.seconds ?? 0
    const isNative = sidecar.restartPolicy === 'Always'
    t.ok(
      wait >=
        Math.ceil(
          (isNative ? config.drainDelayMs : config.drainDelayMs + config.drainTimeoutMs) / 1000,
        ),
      'the application outlives what the sidecar still sends it',
    )
    t.ok(pod.terminationGracePeriodSeconds > wait + (isNative ? drainSeconds : 0))
  })
}

t.test('native or not, it is the same container', async t => {
  const values = `${CHART}/ci/smallest-values.yaml`
  const native = podOf(await render(values))
  const plain = podOf(await render(values, ['--set', 'native=false']))
  t.equal(native.initContainers?.length, 1)
  t.equal(plain.initContainers, undefined)
  const { restartPolicy, ...rest } = sidecarOf(native)
  t.equal(restartPolicy, 'Always')
  t.same(sidecarOf(plain), rest)
})

t.test('numbers and lists arrive as the sidecar reads them', async t => {
  const { env = [] } = sidecarOf(podOf(await render(`${CHART}/ci/plain-container-values.yaml`)))
  t.match(env, [
    { name: 'ALB_ARNS' },
    { name: 'ALB_CLIENT_IDS', value: 'one,two' },
    { name: 'DRAIN_DELAY', value: '1500ms' },
    { name: 'DRAIN_TIMEOUT' },
    { name: 'OIDC_ISSUER' },
    { name: 'TOKEN_CACHE_SIZE', value: '1000000' },
  ])
})

t.test('the load balancer speaks what the sidecar speaks', async t => {
  const protocol = 'alb.ingress.kubernetes.io/backend-protocol'
  for (const [values, expected] of Object.entries({ tls: 'HTTPS', everything: 'HTTP' })) {
    const manifests = await render(`${CHART}/ci/${values}-values.yaml`)
    t.equal(named(manifests, 'Ingress').metadata.annotations?.[protocol], expected, values)
  }
})

t.test('ConsoleMe’s load balancer signs in, but for what the sidecar opens', async t => {
  for (const idp of ['cognito', 'okta', 'google']) {
    const manifests = await render(`${CHART}/ci/consoleme-${idp}-values.yaml`)
    const open = named(manifests, 'Ingress', 'r-open')
    t.same(pathsOf(open), NOAUTH_PRESETS['consoleme-weep'], `${idp}: the same paths on both`)
    t.equal(open.metadata.annotations?.['alb.ingress.kubernetes.io/auth-type'], 'none')
    const guarded = named(manifests, 'Ingress', 'r')
    const { annotations = {} } = guarded.metadata
    const type = idp === 'cognito' ? 'cognito' : 'oidc'
    t.equal(annotations['alb.ingress.kubernetes.io/auth-type'], type)
    const provider = annotations[`alb.ingress.kubernetes.io/auth-idp-${type}`] ?? ''
    t.ok(Object.values(JSON.parse(provider) as object).every(Boolean), 'all of it is given')
    t.same(pathsOf(guarded), ['/'])
    const order = 'alb.ingress.kubernetes.io/group.order'
    t.ok(
      Number(open.metadata.annotations?.[order]) < Number(annotations[order]),
      'the open paths come first',
    )
  }
})

t.test(
  'nobody but the load balancer and Prometheus gets in, and nobody to the application',
  async t => {
    const manifests = await render(`${CHART}/ci/everything-values.yaml`)
    const { ingress, policyTypes } = named(manifests, 'NetworkPolicy').spec as {
      policyTypes: string[]
      ingress: { from: unknown[]; ports: { port: number }[] }[]
    }
    t.same(policyTypes, ['Ingress'])
    t.same(
      ingress.map(({ ports }) => ports.map(({ port }) => port)),
      [[8443, 9191], [9191]],
    )
    t.same(ingress[0]?.from, [{ ipBlock: { cidr: '10.0.0.0/24' } }])
    t.match(ingress[1]?.from, [{ namespaceSelector: { matchLabels: /./ } }])
    const { ports } = named(manifests, 'Service').spec as { ports: unknown[] }
    t.match(ports, [{ port: 80, targetPort: 8443 }])
  },
)

t.test('rules and dashboard are the ones that were tried', async t => {
  const manifests = await render(`${CHART}/ci/everything-values.yaml`)
  const [shipped] = parsed(readFileSync('deploy/prometheus/rules.yaml', 'utf8'))
  t.same(named(manifests, 'PrometheusRule').spec, shipped)
  const { data } = named(manifests, 'ConfigMap', 'everything-dashboard')
  const dashboard = readFileSync('deploy/grafana/dashboard.json', 'utf8')
  t.same(JSON.parse(data?.['alb-auth-sidecar.json'] ?? ''), JSON.parse(dashboard))
})

t.test('what is wrong is refused, not rendered', async t => {
  const rows = [
    { is: 'a misspelt setting', set: 'settings.ALB_ARN=a', says: /ALB_ARN/ },
    { is: 'a setting that is not a choice', set: 'settings.IDP=onelogin', says: /IDP/ },
    { is: 'a number out of range', set: 'settings.TRUSTED_HOPS=0', says: /TRUSTED_HOPS/ },
    { is: 'a duration without a unit', set: 'settings.DRAIN_DELAY=5', says: /DRAIN_DELAY/ },
    { is: 'no load balancer', set: 'settings.ALB_ARNS=null', says: /ALB_ARNS/ },
    { is: 'a misspelt value', set: 'networkPolicy.enable=true', says: /enable/ },
    { is: 'a tag for a digest', set: 'image.digest=latest', says: /digest/ },
    { is: 'a policy without a load balancer', set: 'networkPolicy.enabled=true', says: /albCidrs/ },
    { is: 'an ingress without a certificate', set: 'ingress.enabled=true', says: /is required/ },
    { is: 'no application', set: 'application.image=', says: /application.image is required/ },
  ]
  for (const { is, set, says } of rows) {
    const values = `${CHART}/ci/smallest-values.yaml`
    const { code, output } = await run(HELM, [
      ...['template', 'r', CHART, ...KUBERNETES, '-f', values, '--set', set],
    ])
    t.not(code, 0, is)
    t.match(output, says, `${is}: named`)
  }
})

t.test('a chart of one’s own takes it in', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'chart-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  await must('cp', ['-r', 'helm/.', folder])
  const chart = join(folder, 'examples/my-application')
  await must(HELM, ['dependency', 'update', chart])
  const text = await must(HELM, ['template', 'r', chart, ...KUBERNETES])
  rendered['my-application'] = text
  const manifests = parsed(text)
  t.same(manifests.map(({ kind }) => kind).sort(), ['Deployment', 'NetworkPolicy', 'PodMonitor'])
  t.equal(sidecarOf(podOf(manifests)).restartPolicy, 'Always')
  const { podSelector } = named(manifests, 'NetworkPolicy').spec as { podSelector: unknown }
  t.same(podSelector, { matchLabels: { app: 'my-application' } })
})

t.test('Kubernetes knows every field and misses none', async t => {
  t.equal(Object.keys(rendered).length, VALUES.length + 1)
  t.same(await faultsOf(rendered), [])
  const smallest = rendered['smallest-values.yaml'] ?? ''
  const worse = {
    unknown: smallest.replace('replicas:', 'replicaz:'),
    type: smallest.replace(/replicas: .*/, 'replicas: [two]'),
    missing: smallest.replace('selector:', 'selektor:'),
  }
  const faults = await faultsOf(worse)
  for (const [name, text] of Object.entries(worse)) {
    t.not(text, smallest)
    t.ok(
      faults.some(fault => fault.startsWith(`${name}: `)),
      `${name} is found`,
    )
  }
})

t.test('the pod runs: the chart’s own container, in a network of its own', async t => {
  const pod = await startPod(t)
  const { sidecar, application, signer } = pod
  const [port, adminPort] = [8080, 9090]
  await until(
    'ready',
    async () => (await getInside(sidecar, `http://127.0.0.1:${adminPort}/readyz`)).status === 200,
  )
  const url = `http://127.0.0.1:${port}/`
  t.equal((await getInside(sidecar, url)).status, 401, 'no token')
  const seen = await getInside(sidecar, url, { 'X-Amzn-Oidc-Data': signer.sign(ALICE) })
  t.equal(seen.status, 200, 'a good one')
  t.match(JSON.parse(seen.body), { headers: { 'x-forwarded-user': 'alice@example.com' } })

  const status = readFileSync(`/proc/${sidecar.pid}/status`, 'utf8')
  t.match(status, /^Uid:\s+65532\s/m)
  t.match(status, /^CapEff:\s+0+$/m)
  t.match(status, /^CapBnd:\s+0+$/m)
  t.match(status, /^NoNewPrivs:\s+1$/m)
  const wrote = `try { require('fs').writeFileSync('/x', ''); console.log('wrote') } catch (error) { console.log(error.code) }`
  t.match(await sidecar.evaluate(wrote), /EROFS/)

  await sidecar.signal('TERM')
  t.equal(await sidecar.ended(), 0, 'drained')
  t.equal((await getInside(application, 'http://127.0.0.1:8081/')).status, 200, 'outlived')
})

/** The smallest release with images that are here, its keys seeded: there is nobody to ask for them. */
async function startPod(t: Test) {
  const signer = createSigner({
    arn: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/example/50dc6c495c0c9188',
    client: '4fmvht22tjrgd7d3k3tghttct7',
    issuer: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example',
  })
  const folder = mkdtempSync(join(tmpdir(), 'pod-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const release = `r${process.pid}`
  const values = {
    native: false,
    nameOverride: release,
    image: { repository: IMAGE.split(':')[0], tag: IMAGE.split(':')[1], pullPolicy: 'Never' },
    application: { image: APP_IMAGE, replicas: 1 },
    settings: { ENFORCEMENT: 'enforce', DRAIN_DELAY: '1s', ALB_KEYS_DIR: '/keys' },
    volumes: [{ name: 'keys', configMap: { name: 'keys' } }],
    volumeMounts: [{ name: 'keys', mountPath: '/keys', readOnly: true }],
  }
  writeFileSync(join(folder, 'values.yaml'), yaml.stringify(values))
  const manifests = await render(`${CHART}/ci/smallest-values.yaml`, [
    ...['-f', join(folder, 'values.yaml')],
  ])
  const keys = {
    ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'keys' } },
    data: { [`${signer.kid}.pem`]: signer.publicKeyPem },
  }
  const file = join(folder, 'pod.yaml')
  // One pod of the Deployment, that ends when it has ended: what podman starts again at once cannot be
  // waited for. It takes a declared port for one to publish, and here is no network to publish it in.
  const pod = {
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: release } },
    spec: { ...podOf(manifests), restartPolicy: 'Never' },
  }
  const text = JSON.stringify(pod, (name, value: unknown) => (name === 'ports' ? undefined : value))
  writeFileSync(file, `${yaml.stringify(keys)}---\n${text}\n`)
  t.teardown(() => run('podman', ['kube', 'play', '--down', file]))
  await must('podman', ['kube', 'play', '--network=none', file])
  const names = await must('podman', ['ps', '--all', '--format={{.Names}}'])
  const nameOf = (end: string) => {
    const found = names.split('\n').find(name => name.startsWith(release) && name.endsWith(end))
    if (found === undefined) throw new Error(`no container ${end} among ${names}`)
    return found
  }
  return {
    signer,
    sidecar: await containerNamed(nameOf('-alb-auth-sidecar')),
    application: await containerNamed(nameOf('-application')),
  }
}
