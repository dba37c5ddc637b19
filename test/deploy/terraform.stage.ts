/**
 * The Terraform module: parsed, formatted, every reference defined, and in agreement with the
 * CloudFormation template: the same parameters, and for each resource every value that the template states.
 * Whoever changes one of them and not the other is told here. No provider can be had where this runs, so
 * nothing is planned.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { NOAUTH_PRESETS } from '../../src/route/presets.ts'
import { run } from './patience.ts'

const { TOOLS = '', HCLFMT = 'hclfmt' } = process.env
const require = createRequire(`${TOOLS}/terraform.js`)
const { parse: parseHcl } = require('@cdktf/hcl2json') as {
  readonly parse: (name: string, text: string) => Promise<unknown>
}
const { parse: parseYaml } = require('yaml') as {
  readonly parse: (text: string, options: { logLevel: string }) => unknown
}

type Block = Readonly<Record<string, unknown>>
/** Resources, variables and the like: by kind, by name, the blocks of that name. */
type Blocks = Readonly<Record<string, readonly Block[]>>
interface Module {
  readonly resource?: Readonly<Record<string, Blocks>>
  readonly data?: Readonly<Record<string, Blocks>>
  readonly variable?: Blocks
  readonly output?: Blocks
  readonly locals?: readonly Block[]
}
interface Resource {
  readonly Type: string
  readonly Condition?: string
  readonly Properties: Block
}
interface Template {
  readonly Parameters: Readonly<Record<string, Block>>
  readonly Resources: Readonly<Record<string, Resource>>
  readonly Outputs: Readonly<Record<string, Block>>
}

const FOLDER = 'deploy/terraform'
const FILES = readdirSync(FOLDER)
  .filter(name => name.endsWith('.tf'))
  .map(name => join(FOLDER, name))
const texts = FILES.map(file => readFileSync(file, 'utf8'))
const modules = (await Promise.all(
  FILES.map((file, at) => parseHcl(file, texts[at] ?? '')),
)) as readonly Module[]
const yaml = readFileSync('deploy/cloudformation/consoleme.yaml', 'utf8')
const template = parseYaml(yaml, { logLevel: 'silent' }) as Template

const merged = (part: 'variable' | 'output'): Blocks =>
  Object.assign({}, ...modules.map(each => each[part] ?? {})) as Blocks
const variables = merged('variable')

function blockOf(address: string): Block {
  const [type = '', name = ''] = address.split('.')
  const found = modules.flatMap(({ resource }) => resource?.[type]?.[name] ?? [])
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} ${address}`)
  return found[0]
}

function propertiesOf(name: string): Block {
  const found = template.Resources[name]
  if (found === undefined) throw new Error(`no resource ${name}`)
  return found.Properties
}

/** What stands at `a.b.0.c`. */
const at = (value: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (inner, key) =>
        typeof inner === 'object' && inner !== null
          ? (inner as Readonly<Record<string, unknown>>)[key]
          : undefined,
      value,
    )

/** A default, without the quotes that one of the two needs about `true` and numbers. */
const plain = (value: unknown) =>
  value === undefined ? undefined : JSON.stringify(value).replaceAll('"', '')

const snake = (name: string) =>
  name.replace(/[A-Z]/g, (letter, index) => `${index === 0 ? '' : '_'}${letter.toLowerCase()}`)

/** A reference to a parameter, as the module writes it. */
const written = (value: unknown): string => {
  const text = String(value)
  return text in template.Parameters ? `\${var.${snake(text)}}` : text
}

/** Whether a value only names another resource: there is nothing in it to agree on. */
const isReference = (value: unknown) =>
  typeof value === 'string' && (value.split('.')[0] ?? '') in template.Resources

/** `[{ Key: 'a.b', Value: '1' }]` as `{ 'a.b': '1' }`. */
const attributesOf = (list: unknown): Block =>
  Object.fromEntries(
    (list as readonly { Key: string; Value: unknown }[]).map(({ Key, Value }) => [
      Key.replaceAll('.', '/'),
      Value,
    ]),
  )

/** The paths of everything that is stated in a value, references aside. */
function stated(value: unknown, path = ''): string[] {
  if (isReference(value)) return []
  if (typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([key, each]) =>
    stated(each, path === '' ? key : `${path}.${key}`),
  )
}

t.test('every file is formatted and parsed', async t => {
  t.ok(FILES.length > 4)
  for (const [index, file] of FILES.entries()) {
    t.equal((await run(HCLFMT, [file])).stdout, texts[index], `${file}: terraform fmt`)
  }
  await t.rejects(parseHcl('worse.tf', 'resource "a" "b" {\n  x = \n'))
  t.end()
})

t.test('whatever is referred to is there, and whatever is there is referred to', t => {
  const text = texts.join('\n')
  const referred = (pattern: RegExp) =>
    new Set([...text.matchAll(pattern)].map(([, name]) => name ?? ''))
  t.same([...referred(/\bvar\.(\w+)/g)].sort(), Object.keys(variables).sort())
  const locals = modules.flatMap(module => (module.locals ?? []).flatMap(Object.keys))
  t.same([...referred(/\blocal\.(\w+)/g)].sort(), locals.sort())
  for (const address of referred(/(?<![\w"./])(aws_\w+\.\w+)/g)) {
    t.doesNotThrow(() => blockOf(address), address)
  }
  const data = modules.flatMap(module =>
    Object.entries(module.data ?? {}).flatMap(([type, named]) =>
      Object.keys(named).map(name => `${type}.${name}`),
    ),
  )
  t.same([...referred(/\bdata\.(\w+\.\w+)/g)].sort(), data.sort())
  t.end()
})

t.test('the same parameters with the same defaults, the same outputs', t => {
  const { name, ...others } = variables
  t.ok(name, 'the stack’s')
  const expected = Object.entries(template.Parameters).map(
    ([parameter, { Default, Description }]) => [
      snake(parameter),
      { default: plain(Default), description: Description },
    ],
  )
  const found = Object.entries(others).map(([variable, [block = {}]]) => [
    variable,
    {
      default: plain(block['default']),
      description: (block['description'] as string | undefined)?.replace('variables', 'parameters'),
    },
  ])
  t.same(Object.fromEntries(found), Object.fromEntries(expected))
  t.same(Object.keys(merged('output')).sort(), Object.keys(template.Outputs).map(snake).sort())
  t.end()
})

t.test('the same rules of who may talk to whom', t => {
  const groups = {
    LoadBalancerSecurityGroup: 'aws_security_group.load_balancer',
    TaskSecurityGroup: 'aws_security_group.task',
  }
  const line = (direction: string, group: string, rule: Block, peer: unknown) =>
    [direction, group, rule['protocol'], rule['from'], rule['to'], peer, rule['description']].join(
      ' ',
    )
  const inTemplate = Object.entries(template.Resources).flatMap(([name, { Type, Properties }]) => {
    const rows = (direction: 'Ingress' | 'Egress', group: string, rules: readonly Block[]) =>
      rules.map(rule => {
        const other = `${direction === 'Ingress' ? 'Source' : 'Destination'}SecurityGroupId`
        const peer = String(rule['CidrIp'] ?? rule[other])
        const named = groups[peer.split('.')[0] as keyof typeof groups] as string | undefined
        return line(
          direction.toLowerCase(),
          groups[group as keyof typeof groups],
          {
            ...{ protocol: rule['IpProtocol'], from: rule['FromPort'], to: rule['ToPort'] },
            description: rule['Description'],
          },
          named === undefined ? written(peer) : `\${${named}.id}`,
        )
      })
    if (Type === 'AWS::EC2::SecurityGroup') {
      return (['Ingress', 'Egress'] as const).flatMap(direction =>
        rows(direction, name, Properties[`SecurityGroup${direction}`] as Block[]),
      )
    }
    const [, direction] = /^AWS::EC2::SecurityGroup(Ingress|Egress)$/.exec(Type) ?? []
    if (direction !== 'Ingress' && direction !== 'Egress') return []
    const group = String(Properties['GroupId']).split('.')[0] ?? ''
    return rows(direction, group, [Properties])
  })
  const inModule = modules.flatMap(({ resource = {} }) =>
    ['ingress', 'egress'].flatMap(direction =>
      Object.values(resource[`aws_vpc_security_group_${direction}_rule`] ?? {})
        .flat()
        .map(rule => {
          const group = /\$\{(.+)\.id\}/.exec(String(rule['security_group_id']))?.[1] ?? ''
          return line(
            direction,
            group,
            {
              ...{ protocol: rule['ip_protocol'], from: rule['from_port'], to: rule['to_port'] },
              description: rule['description'],
            },
            rule['cidr_ipv4'] ?? rule['referenced_security_group_id'],
          )
        }),
    ),
  )
  t.equal(inTemplate.length, 8)
  t.same(inModule.sort(), inTemplate.sort())
  for (const [name, address] of Object.entries(groups)) {
    t.equal(blockOf(address)['description'], propertiesOf(name)['GroupDescription'])
  }
  t.end()
})

/** For each resource: where what the template states stands in the module. All of it has to be named. */
const PAIRS: readonly {
  readonly cloudformation: string
  readonly terraform: string
  readonly values: Readonly<Record<string, string | { readonly is: unknown }>>
}[] = [
  {
    cloudformation: 'LoadBalancer',
    terraform: 'aws_lb.this',
    values: {
      Type: 'load_balancer_type',
      Scheme: { is: undefined },
      Subnets: 'subnets',
      'LoadBalancerAttributes.routing/http/drop_invalid_header_fields/enabled':
        'drop_invalid_header_fields',
      'LoadBalancerAttributes.idle_timeout/timeout_seconds': 'idle_timeout',
      'LoadBalancerAttributes.routing/http/desync_mitigation_mode': 'desync_mitigation_mode',
    },
  },
  {
    cloudformation: 'TargetGroup',
    terraform: 'aws_lb_target_group.sidecar',
    values: {
      TargetType: 'target_type',
      VpcId: 'vpc_id',
      Protocol: 'protocol',
      ProtocolVersion: 'protocol_version',
      Port: 'port',
      HealthCheckProtocol: 'health_check.0.protocol',
      HealthCheckPort: 'health_check.0.port',
      HealthCheckPath: 'health_check.0.path',
      HealthCheckIntervalSeconds: 'health_check.0.interval',
      HealthCheckTimeoutSeconds: 'health_check.0.timeout',
      HealthyThresholdCount: 'health_check.0.healthy_threshold',
      UnhealthyThresholdCount: 'health_check.0.unhealthy_threshold',
      'Matcher.HttpCode': 'health_check.0.matcher',
      'TargetGroupAttributes.deregistration_delay/timeout_seconds': 'deregistration_delay',
    },
  },
  {
    cloudformation: 'RedirectListener',
    terraform: 'aws_lb_listener.redirect',
    values: {
      Port: 'port',
      Protocol: 'protocol',
      'DefaultActions.0.Type': 'default_action.0.type',
      'DefaultActions.0.RedirectConfig.Protocol': 'default_action.0.redirect.0.protocol',
      'DefaultActions.0.RedirectConfig.Port': 'default_action.0.redirect.0.port',
      'DefaultActions.0.RedirectConfig.StatusCode': 'default_action.0.redirect.0.status_code',
    },
  },
  {
    cloudformation: 'Listener',
    terraform: 'aws_lb_listener.https',
    values: {
      Port: 'port',
      Protocol: 'protocol',
      SslPolicy: 'ssl_policy',
      'Certificates.0.CertificateArn': 'certificate_arn',
      // !If: condition, then, else.
      'DefaultActions.0.0': { is: undefined },
      ...actionValues(1, 0, 'AuthenticateCognitoConfig', ['Scope']),
      ...actionValues(2, 1, 'AuthenticateOidcConfig', [
        ...['Issuer', 'AuthorizationEndpoint', 'TokenEndpoint', 'UserInfoEndpoint'],
        ...['ClientId', 'ClientSecret', 'Scope'],
      ]),
      'DefaultActions.1.Type': 'default_action.0.type',
      'DefaultActions.1.Order': 'default_action.0.order',
    },
  },
  {
    cloudformation: 'UserPool',
    terraform: 'aws_cognito_user_pool.this',
    values: {
      'UsernameAttributes.0': 'username_attributes.0',
      'AutoVerifiedAttributes.0': 'auto_verified_attributes.0',
      'AdminCreateUserConfig.AllowAdminCreateUserOnly':
        'admin_create_user_config.0.allow_admin_create_user_only',
    },
  },
  {
    cloudformation: 'UserPoolClient',
    terraform: 'aws_cognito_user_pool_client.this',
    values: {
      GenerateSecret: 'generate_secret',
      AllowedOAuthFlowsUserPoolClient: 'allowed_oauth_flows_user_pool_client',
      'AllowedOAuthFlows.0': 'allowed_oauth_flows.0',
      'AllowedOAuthScopes.0': 'allowed_oauth_scopes.0',
      'SupportedIdentityProviders.0': 'supported_identity_providers.0',
      'CallbackURLs.0': { is: 'https://${var.host_name}/oauth2/idpresponse' },
      AccessTokenValidity: 'access_token_validity',
      'TokenValidityUnits.AccessToken': 'token_validity_units.0.access_token',
    },
  },
  {
    cloudformation: 'LogGroup',
    terraform: 'aws_cloudwatch_log_group.this',
    values: { LogGroupName: { is: '/ecs/${var.name}' }, RetentionInDays: 'retention_in_days' },
  },
  {
    cloudformation: 'Service',
    terraform: 'aws_ecs_service.this',
    values: {
      LaunchType: 'launch_type',
      DesiredCount: 'desired_count',
      HealthCheckGracePeriodSeconds: 'health_check_grace_period_seconds',
      'DeploymentConfiguration.MinimumHealthyPercent': 'deployment_minimum_healthy_percent',
      'DeploymentConfiguration.MaximumPercent': 'deployment_maximum_percent',
      'DeploymentConfiguration.DeploymentCircuitBreaker.Enable':
        'deployment_circuit_breaker.0.enable',
      'DeploymentConfiguration.DeploymentCircuitBreaker.Rollback':
        'deployment_circuit_breaker.0.rollback',
      'NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp': { is: 'DISABLED' },
      'NetworkConfiguration.AwsvpcConfiguration.Subnets': 'network_configuration.0.subnets',
      'LoadBalancers.0.ContainerName': 'load_balancer.0.container_name',
      'LoadBalancers.0.ContainerPort': 'load_balancer.0.container_port',
    },
  },
]

/** One of the two ways to sign in, and which of its fields are the parameters'. */
function actionValues(branch: number, index: number, config: string, fields: readonly string[]) {
  const block = `dynamic.default_action.${index}.content.0`
  const path = `DefaultActions.0.${branch}`
  const all = [...fields, 'OnUnauthenticatedRequest', 'SessionCookieName', 'SessionTimeout']
  return {
    [`${path}.Type`]: `${block}.type`,
    [`${path}.Order`]: `${block}.order`,
    ...Object.fromEntries(
      all.map(field => [
        `${path}.${config}.${field}`,
        `${block}.${snake(config).replace('_config', '')}.0.${snake(field)}`,
      ]),
    ),
  }
}

for (const { cloudformation, terraform, values } of PAIRS) {
  t.test(`${terraform} says what ${cloudformation} says`, t => {
    const { LoadBalancerAttributes, TargetGroupAttributes, ...rest } = propertiesOf(cloudformation)
    const properties = {
      ...rest,
      ...(LoadBalancerAttributes !== undefined && {
        LoadBalancerAttributes: attributesOf(LoadBalancerAttributes),
      }),
      ...(TargetGroupAttributes !== undefined && {
        TargetGroupAttributes: attributesOf(TargetGroupAttributes),
      }),
    }
    t.same(Object.keys(values).sort(), stated(properties).sort(), 'nothing is left out')
    const block = blockOf(terraform)
    for (const [path, where] of Object.entries(values)) {
      if (typeof where !== 'string') continue
      t.equal(String(at(block, where)), written(at(properties, path)), path)
    }
    const { Condition } = template.Resources[cloudformation] ?? {}
    if (Condition === 'UseCognito') t.equal(block['count'], '${local.uses_cognito ? 1 : 0}')
    t.end()
  })
}

t.test('what only reads differently', t => {
  t.equal(blockOf('aws_lb.this')['internal'], '${var.scheme == "internal"}')
  t.equal(at(blockOf('aws_ecs_service.this'), 'network_configuration.0.assign_public_ip'), false)
  t.match(propertiesOf('UserPoolClient'), { CallbackURLs: [/\{HostName\}\/oauth2\/idpresponse$/] })
  t.equal(blockOf('aws_cognito_user_pool.this')['deletion_protection'], 'ACTIVE', 'retained')
  t.equal(blockOf('aws_cloudwatch_log_group.this')['skip_destroy'], true, 'retained')
  t.end()
})

t.test('the same rules open the same paths', t => {
  const rules = {
    OpenPathsRule: 'open_paths',
    MoreOpenPathsRule: 'more_open_paths',
    WeepPathsRule: 'weep_paths',
  }
  const opened = Object.entries(rules).flatMap(([cloudformation, name]) => {
    const { Priority, Conditions, Actions } = propertiesOf(cloudformation)
    const block = blockOf(`aws_lb_listener_rule.${name}`)
    const values = at(block, 'condition.0.path_pattern.0.values') as string[]
    t.same([block['priority'], values], [Priority, at(Conditions, '0.PathPatternConfig.Values')])
    t.equal(at(block, 'action.0.type'), at(Actions, '0.Type'))
    t.equal(at(block, 'listener_arn'), '${aws_lb_listener.https.arn}')
    return values
  })
  t.same(opened, NOAUTH_PRESETS['consoleme-weep'])
  t.equal(blockOf('aws_lb_listener_rule.weep_paths')['count'], '${var.open_weep_paths ? 1 : 0}')
  const all = modules.flatMap(({ resource }) =>
    Object.keys(resource?.['aws_lb_listener_rule'] ?? {}),
  )
  t.equal(all.length, 3, 'and no other rule')
  t.end()
})

t.test('the same task with the same settings', t => {
  const task = blockOf('aws_ecs_task_definition.this')
  const properties = propertiesOf('TaskDefinition')
  const { Cpu, Memory, NetworkMode, RequiresCompatibilities } = properties
  t.same(
    [task['cpu'], task['memory'], task['network_mode'], task['requires_compatibilities']].map(
      String,
    ),
    [Cpu, Memory, NetworkMode, RequiresCompatibilities].map(String),
  )
  const platform = at(task, 'runtime_platform.0') as Block
  t.equal(platform['cpu_architecture'], at(properties, 'RuntimePlatform.CpuArchitecture'))
  t.equal(
    platform['operating_system_family'],
    at(properties, 'RuntimePlatform.OperatingSystemFamily'),
  )
  const settings = modules
    .flatMap(({ locals = [] }) => locals)
    .map(each => each['settings'])
    .find(each => each !== undefined) as Readonly<Record<string, string>>
  const environment = at(properties, 'ContainerDefinitions.0.Environment') as {
    Name: string
    Value: unknown
  }[]
  t.same(Object.keys(settings).sort(), environment.map(({ Name }) => Name).sort())
  for (const { Name, Value } of environment) {
    if (Array.isArray(Value) || isReference(Value)) continue
    t.equal(settings[Name], written(Value), Name)
  }
  t.match(task['container_definitions'], /local\.containers\[0\].*local\.containers\[1\]/s)
  t.end()
})
