import t from 'tap'
import { nearMisses } from '../../src/config/near-miss.ts'

const OURS = [
  'ALB_ARNS',
  'ALB_CLIENT_IDS',
  'UPSTREAM_URL',
  'UPSTREAM_CONNECTIONS',
  'KEY_CACHE_TTL',
  'LOG_LEVEL',
  'LOG_FORMAT',
  'NO_PROXY',
  'HTTPS_PROXY',
  'USER_HEADER',
  'ADMIN_PORT',
  'HOST',
  'PORT',
]

t.test('a variable that is nearly one of ours is named with the nearest', t => {
  const cases: readonly { name: string; nearest?: string }[] = [
    { name: 'ALB_ARN', nearest: 'ALB_ARNS' },
    { name: 'ALB_CLIENT_ID', nearest: 'ALB_CLIENT_IDS' },
    { name: 'ALB_CLIENTIDS', nearest: 'ALB_CLIENT_IDS' },
    { name: 'ALB_ARN_FILE', nearest: 'ALB_ARNS' },
    { name: 'UPSTREAM_URI', nearest: 'UPSTREAM_URL' },
    { name: 'UPSTREAM_CONECTIONS', nearest: 'UPSTREAM_CONNECTIONS' },
    { name: 'LOG_LEVLE', nearest: 'LOG_LEVEL' },
    { name: 'LOG_FROMAT', nearest: 'LOG_FORMAT' },
    { name: 'KEY_CACHE_TTL_SECONDS', nearest: 'KEY_CACHE_TTL' },
    { name: 'ALB_ARNS' },
    { name: 'ALB_ARNS_FILE' },
    { name: 'HOST_FILE' },
    { name: 'LOG_GROUP_NAME_OF_SOMEBODY_ELSE' },
    { name: 'NO_COLOR' },
    { name: 'USER' },
    { name: 'HOSTNAME' },
    { name: 'PATH' },
    { name: 'HTTP_PROXY' },
    { name: 'https_proxy' },
    { name: 'AWS_REGION' },
    { name: '_' },
    { name: '' },
  ]
  for (const { name, nearest } of cases) {
    const warning = `${name} is not a setting; did you mean ${nearest ?? ''}?`
    t.same(nearMisses({ [name]: 'x' }, OURS), nearest === undefined ? [] : [warning], name)
  }
  t.end()
})

t.test('what Kubernetes sets for a service is never a misspelt setting', t => {
  const names = ['ALB', 'UPSTREAM', 'LOG', 'KEY_CACHE', 'USER', 'ADMIN'].flatMap(service => [
    `${service}_SERVICE_HOST`,
    `${service}_SERVICE_PORT`,
    `${service}_SERVICE_PORT_HTTP`,
    `${service}_SERVICE_PORT_HTTP_METRICS`,
    `${service}_PORT`,
    `${service}_PORT_443_TCP`,
    `${service}_PORT_443_TCP_PROTO`,
    `${service}_PORT_443_TCP_PORT`,
    `${service}_PORT_53_UDP_ADDR`,
  ])
  t.same(nearMisses(Object.fromEntries(names.map(name => [name, 'x'])), OURS), [])
  t.end()
})

t.test('each is named once, in the order in which they are set', t => {
  t.same(nearMisses({ LOG_LEVL: 'x', PATH: 'y', ALB_ARN: undefined }, OURS), [
    'LOG_LEVL is not a setting; did you mean LOG_LEVEL?',
    'ALB_ARN is not a setting; did you mean ALB_ARNS?',
  ])
  t.same(nearMisses({}, OURS), [])
  t.same(nearMisses({ LOG_LEVL: 'x' }, []), [])
  t.end()
})

t.test('the list of our variables is not disturbed', t => {
  const ours = Object.freeze([...OURS])
  t.same(nearMisses({ LOG_FORMET: 'x' }, ours).length, 1)
  t.same(ours, OURS)
  t.end()
})
