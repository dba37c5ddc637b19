/**
 * The CloudFormation template by AWS's own offline validator and by what it must say; the ECS task
 * definition, run: its containers as it describes them, in one network, as a task has it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createSigner } from '../../simulator/signer.ts'
import { loadConfig } from '../../src/config/config.ts'
import { SETTINGS } from '../../src/config/settings.ts'
import { NOAUTH_PRESETS } from '../../src/route/presets.ts'
import { accessTokenFor, albTokenFor, ALICE_AT_IDP, createIdpKey } from '../fixtures/idp.ts'
import { APP_IMAGE, containerNamed, getInside, IMAGE } from './containers.ts'
import { must, run, until } from './patience.ts'

const require = createRequire(`${process.env['TOOLS'] ?? ''}/aws.js`)
const { CelEngine, TemplateFile } = require('@aws/cloudformation-validate') as {
  readonly CelEngine: new () => {
    validateStandard: (template: object) => {
      diagnostics: { severity: string; ruleId: string; message: string }[]
    }
  }
  readonly TemplateFile: new (file: string) => object
}
const { parse } = require('yaml') as {
  readonly parse: (text: string, options: { logLevel: string }) => unknown
}

interface Resource {
  readonly Type: string
  readonly Properties: Readonly<Record<string, unknown>>
}

interface Definition {
  readonly name: string
  readonly user?: string
  readonly readonlyRootFilesystem?: boolean
  readonly memory?: number
  readonly stopTimeout: number
  readonly linuxParameters?: { readonly capabilities: { readonly drop: readonly string[] } }
  readonly dependsOn?: readonly { readonly containerName: string; readonly condition: string }[]
  readonly portMappings?: readonly { readonly containerPort: number }[]
  readonly environment: readonly { readonly name: string; readonly value: string }[]
  readonly healthCheck: { readonly command: readonly string[] }
}

const TEMPLATE = 'deploy/cloudformation/consoleme.yaml'
const text = readFileSync(TEMPLATE, 'utf8')
const TASK = JSON.parse(readFileSync('deploy/ecs/task-definition.json', 'utf8')) as {
  readonly containerDefinitions: readonly Definition[]
}
const { Resources } = parse(text, { logLevel: 'silent' }) as { Resources: Record<string, Resource> }

/** What the validator finds worse than a remark. */
function faultsOf(t: Test, template: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'template-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const file = join(folder, 'template.yaml')
  writeFileSync(file, template)
  return new CelEngine()
    .validateStandard(new TemplateFile(file))
    .diagnostics.filter(({ severity }) => severity !== 'INFO')
    .map(({ ruleId, message }) => `${ruleId}: ${message}`)
}

t.test('the validator finds nothing in the template, and something in a worse one', t => {
  // It takes a parameter without a default for no certificate at all.
  const certificate = 'arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333'
  const given = text.replace(
    /( {2}CertificateArn:\n {4}Type: String\n)/,
    `$1    Default: ${certificate}\n`,
  )
  t.not(given, text)
  t.same(faultsOf(t, given), [])
  const worse = [
    given.replace("Memory: '4096'", "Memory: '1'"),
    given.replace('!Ref TargetGroup', '!Ref TargetGrop'),
    given.replace('HealthCheckPath:', 'HealthCheckPaths:'),
    given.replace('Type: authenticate-oidc', 'Type: authenticate'),
  ]
  for (const [at, template] of worse.entries()) {
    t.not(template, given)
    t.ok(faultsOf(t, template).length > 0, `fault ${at} is found`)
  }
  t.end()
})

t.test('the load balancer opens what the sidecar opens, five values a rule', t => {
  const valuesOf = (name: string) => {
    const { Conditions } = Resources[name]?.Properties as {
      Conditions: { PathPatternConfig: { Values: string[] } }[]
    }
    return Conditions.flatMap(({ PathPatternConfig }) => PathPatternConfig.Values)
  }
  const [first, second, weep] = ['OpenPathsRule', 'MoreOpenPathsRule', 'WeepPathsRule'].map(
    valuesOf,
  )
  for (const values of [first, second, weep]) t.ok((values?.length ?? 9) <= 5)
  t.same([...(first ?? []), ...(second ?? [])], NOAUTH_PRESETS.consoleme)
  t.same([...(first ?? []), ...(second ?? []), ...(weep ?? [])], NOAUTH_PRESETS['consoleme-weep'])
  t.end()
})

t.test('targets accept the load balancer only, and nobody reaches the application', t => {
  const { SecurityGroupIngress } = Resources['TaskSecurityGroup']?.Properties as {
    SecurityGroupIngress: Record<string, unknown>[]
  }
  t.same(
    SecurityGroupIngress.map(({ FromPort, ToPort }) => [FromPort, ToPort]),
    [
      [8443, 8443],
      [9090, 9090],
    ],
  )
  for (const rule of SecurityGroupIngress) {
    t.equal(rule['SourceSecurityGroupId'], 'LoadBalancerSecurityGroup.GroupId')
    t.notOk('CidrIp' in rule)
  }
  t.match(Resources['TargetGroup']?.Properties, { Protocol: 'HTTPS', Port: 8443 })
  t.match(Resources['Service']?.Properties, {
    NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'DISABLED' } },
  })
  t.match(Resources['RedirectListener']?.Properties, {
    Port: 80,
    DefaultActions: [{ Type: 'redirect', RedirectConfig: { Protocol: 'HTTPS' } }],
  })
  t.end()
})

t.test('the template’s containers are those of the task definition', t => {
  const lower = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(lower)
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value).map(([key, each]) => [
      key.charAt(0).toLowerCase() + key.slice(1),
      lower(each),
    ])
    return Object.fromEntries(entries) as unknown
  }
  const { ContainerDefinitions } = Resources['TaskDefinition']?.Properties as {
    ContainerDefinitions: object[]
  }
  const own = new Set(['image', 'environment', 'logConfiguration'])
  const rest = (container: object) =>
    Object.fromEntries(Object.entries(container).filter(([key]) => !own.has(key)))
  const ours = lower(ContainerDefinitions) as object[]
  t.same(ours.map(rest), TASK.containerDefinitions.map(rest))
  const names = new Set<string>(Object.values(SETTINGS).map(({ variable }) => variable))
  for (const { environment } of [...TASK.containerDefinitions.slice(0, 1)]) {
    for (const { name } of environment) {
      t.ok(names.has(name), `${name} is a setting`)
    }
  }
  const [sidecar] = TASK.containerDefinitions
  const environment = Object.fromEntries(
    (sidecar?.environment ?? []).map(({ name, value }) => [name, value]),
  )
  const { config } = loadConfig(environment)
  t.ok((sidecar?.stopTimeout ?? 0) * 1000 > config.drainDelayMs + config.drainTimeoutMs)
  t.end()
})

t.test('the task runs: in its order, with its rights, healthy by its own check', async t => {
  const [definition, application] = TASK.containerDefinitions
  if (definition === undefined || application === undefined) throw new Error('two containers')
  const valueOf = (variable: string) =>
    definition.environment.find(({ name }) => name === variable)?.value ?? ''
  const signer = createSigner({
    arn: valueOf('ALB_ARNS'),
    client: valueOf('ALB_CLIENT_IDS'),
    issuer: valueOf('OIDC_ISSUER'),
  })
  const folder = mkdtempSync(join(tmpdir(), 'task-'))
  const pod = `alb-auth-task-${process.pid}`
  t.teardown(async () => {
    await run('podman', ['pod', 'rm', '--force', '--time', '0', pod])
    rmSync(folder, { recursive: true, force: true })
  })
  writeFileSync(join(folder, `${signer.kid}.pem`), signer.publicKeyPem, { mode: 0o644 })
  await must('chmod', ['755', folder])
  await must('podman', ['pod', 'create', `--name=${pod}`, '--network=none', '--share=net'])

  t.same(definition.dependsOn, [{ containerName: application.name, condition: 'HEALTHY' }])
  const start = async ({ name, ...container }: Definition, image: string, more: string[] = []) => {
    const drops = container.linuxParameters?.capabilities.drop ?? []
    const options = [
      ...(container.user === undefined ? [] : [`--user=${container.user}`]),
      ...(container.readonlyRootFilesystem === true
        ? ['--read-only', '--read-only-tmpfs=false']
        : []),
      ...(container.memory === undefined ? [] : [`--memory=${container.memory}m`]),
      ...drops.map(capability => `--cap-drop=${capability}`),
      ...container.environment.map(({ name, value }) => `--env=${name}=${value}`),
    ]
    const own = `${pod}-${name}`
    const fixed = ['--detach', '--pull=never', '--no-healthcheck', `--pod=${pod}`, `--name=${own}`]
    await must('podman', ['run', ...fixed, ...options, ...more, image])
    return containerNamed(own)
  }
  // Nobody outside is in reach: the provider's keys are where the application is.
  const key = createIdpKey()
  const provider = { issuer: valueOf('OIDC_ISSUER'), current: () => key }
  const jwks = JSON.stringify({ keys: [key.jwk] })
  const app = await start(application, APP_IMAGE, [`--env=APPLICATION_JWKS=${jwks}`])
  const answers = 'http://127.0.0.1:8081/healthcheck'
  await until(
    'the application is healthy',
    async () => (await getInside(app, answers)).status === 200,
  )
  const sidecar = await start(definition, IMAGE, [
    ...[`--volume=${folder}:/keys:ro`, '--env=ALB_KEYS_DIR=/keys'],
    ...['--env=DRAIN_DELAY=1s', '--security-opt=no-new-privileges'],
    '--env=ACCESS_TOKEN_JWKS_URL=http://127.0.0.1:8081/jwks.json',
  ])
  const [kind, ...check] = definition.healthCheck.command
  t.equal(kind, 'CMD')
  await until('healthy by its own check', async () => {
    const { code } = await run('podman', ['exec', sidecar.name, ...check])
    return code === 0
  })
  const url = `https://127.0.0.1:${valueOf('PORT')}/`
  const data = { 'X-Amzn-Oidc-Data': albTokenFor(signer, provider, 'okta') }
  const withAccess = (aud: string) => {
    const payload = { aud, cid: valueOf('ALB_CLIENT_IDS') }
    return { ...data, 'X-Amzn-Oidc-Accesstoken': accessTokenFor(provider, 'okta', { payload }) }
  }
  t.equal((await getInside(sidecar, url)).status, 401, 'no token')
  t.equal((await getInside(sidecar, url, data)).status, 401, 'no access token')
  t.equal((await getInside(sidecar, url, withAccess('api://other'))).status, 401, 'not for us')
  const seen = await getInside(sidecar, url, withAccess(valueOf('ACCESS_TOKEN_AUDIENCES')))
  t.equal(seen.status, 200, 'good ones')
  t.match(JSON.parse(seen.body), { headers: { 'x-forwarded-user': ALICE_AT_IDP.email } })
  t.match(JSON.parse(seen.body), { headers: { 'x-forwarded-groups': /./ } }, 'and the groups')
  t.match(readFileSync(`/proc/${sidecar.pid}/status`, 'utf8'), /^CapBnd:\s+0+$/m)

  const stop = ['stop', `--time=${definition.stopTimeout}`, sidecar.name]
  await must('podman', stop)
  t.equal(await sidecar.ended(), 0, 'drained within its stop time-out')
  t.equal((await getInside(app, answers)).status, 200, 'the application outlives it')
})
