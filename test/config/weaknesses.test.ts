import { dirname } from 'node:path'
import t from 'tap'
import type { Environment } from '../../src/config/config.ts'
import { LEAST_ARN as ARN, load, writeFile } from '../fixtures/configuration.ts'

t.test('what is allowed but weak is a warning', t => {
  const cases: readonly { environment: Environment; warnings: readonly (string | RegExp)[] }[] = [
    { environment: { UPSTREAM_URL: 'http://localhost:8081' }, warnings: [] },
    { environment: { UPSTREAM_URL: 'http://[::1]:8081' }, warnings: [] },
    { environment: { UPSTREAM_URL: 'unix:/run/app.sock' }, warnings: [] },
    {
      environment: { UPSTREAM_URL: 'http://app:8081' },
      warnings: [/^UPSTREAM_URL is not on this machine \(app\): whoever reaches it directly/],
    },
    { environment: { ENFORCEMENT: 'enforce' }, warnings: [] },
    {
      environment: { ENFORCEMENT: 'report' },
      warnings: ['ENFORCEMENT=report: nothing is refused for its token'],
    },
    { environment: { KEEP_ALIVE_TIMEOUT: '61s' }, warnings: [] },
    {
      environment: { KEEP_ALIVE_TIMEOUT: '60s' },
      warnings: [
        /^KEEP_ALIVE_TIMEOUT is 60s, which does not exceed the ALB's default idle timeout of 60s/,
      ],
    },
    {
      environment: { ALB_KEYS_DIR: dirname(writeFile(t, '')) },
      warnings: ['ALB_KEYS_DIR holds no <kid>.pem file: every key has to be fetched'],
    },
    {
      environment: { ALB_ARN: ARN, UPSTREAM_URI: 'x', PATH: '/bin', HOME: '/root' },
      warnings: [
        'ALB_ARN is not a setting; did you mean ALB_ARNS?',
        'UPSTREAM_URI is not a setting; did you mean UPSTREAM_URL?',
      ],
    },
    {
      environment: {
        ALB_SERVICE_HOST: '10.0.0.1',
        ALB_SERVICE_PORT: '80',
        ALB_SERVICE_PORT_HTTP: '80',
        UPSTREAM_PORT: 'tcp://10.0.0.1:80',
        UPSTREAM_PORT_80_TCP: 'tcp://10.0.0.1:80',
        UPSTREAM_PORT_80_TCP_ADDR: '10.0.0.1',
        KEY_CACHE_PORT_53_UDP_PROTO: 'udp',
      },
      warnings: [],
    },
  ]
  for (const { environment, warnings } of cases) {
    const found = load(environment).warnings.map(({ text }) => text)
    t.match(found, warnings, JSON.stringify(environment))
    t.equal(found.length, warnings.length, JSON.stringify(environment))
  }
  t.end()
})

t.test('what leaves a check out is the gravest', t => {
  const { warnings } = load({
    ...{ ALB_CLIENT_IDS: '', UNSAFE_ALLOW_ANY_CLIENT: 'true' },
    ...{ OIDC_ISSUER: '', UNSAFE_ALLOW_ANY_ISSUER: 'true' },
  })
  t.match(warnings, [
    { severity: 'unsafe', text: /^UNSAFE_ALLOW_ANY_CLIENT: .*; set ALB_CLIENT_IDS instead$/ },
    { severity: 'unsafe', text: /^UNSAFE_ALLOW_ANY_ISSUER: .*; set OIDC_ISSUER instead$/ },
  ])
  t.equal(warnings.length, 2)
  t.end()
})
