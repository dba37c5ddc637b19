/**
 * The whole decision, and the configuration it is made of.
 */
import { createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import { SILENT } from '../../src/cli/silent.ts'
import { ConfigFault, loadConfig } from '../../src/config/config.ts'
import { SETTINGS as TABLE } from '../../src/config/settings.ts'
import { systemClock } from '../../src/core/clock.ts'
import { createGate } from '../../src/gate.ts'
import { decide } from '../../src/pipeline.ts'
import { ALICE, SETTINGS } from '../fixtures/sidecar.ts'
import { headerList, laxly } from './headers.ts'
import { pathPiece } from './paths.ts'
import { signer, token, tokenText } from './tokens.ts'
import { joined, oneOf, type Property } from './property.ts'

const variables = Object.values(TABLE).map(({ variable }) => variable)
const settingText = fc.oneof(
  fc.string({ maxLength: 12 }),
  oneOf(
    '',
    ' ',
    '0',
    '-1',
    '1e9',
    'true',
    'TRUE',
    '5s',
    '1h',
    '/*',
    'GET /a',
    '*',
    'http://a',
    'unix:/x',
    ',',
    '__proto__',
    'a,a',
    '[',
    '{}',
  ),
)
export const configuration: Property = {
  name: 'any configuration is used or refused with what is wrong with it',
  share: 20_000,
  property: fc.property(
    // Files are not fuzzed: they would be read.
    fc.dictionary(oneOf(...variables.filter(each => !/FILE|DIR|TLS/.test(each))), settingText, {
      maxKeys: 4,
    }),
    given => {
      try {
        const { config } = loadConfig({ ...SETTINGS, UPSTREAM_URL: 'http://127.0.0.1:1', ...given })
        return Array.isArray(config.albArns) && config.albArns.length > 0
      } catch (error) {
        return error instanceof ConfigFault && error.faults.length > 0
      }
    },
  ),
}

const { config } = loadConfig({
  ...SETTINGS,
  NOAUTH_PATHS: '/open/*',
  UPSTREAM_URL: 'http://127.0.0.1:1',
})
const key = createPublicKey(signer.publicKeyPem)
const gate = await createGate(config, {
  clock: systemClock,
  telemetry: SILENT,
  keys: {
    alb: (_arn, kid) =>
      Promise.resolve(kid === signer.kid ? key : { reason: 'key_unknown', detail: '' }),
    accessToken: () => Promise.resolve({ reason: 'key_unknown', detail: '' }),
  },
})
const credential = fc.oneof(
  fc.constant<readonly string[]>([]),
  fc.constant(['X-Amzn-Oidc-Data', token]),
  tokenText.map(each => ['X-Amzn-Oidc-Data', each]),
)
export const whole: Property = {
  name: 'nobody goes on but the user of the token, or nobody on an open path',
  share: 30_000,
  property: fc.asyncProperty(
    headerList,
    credential,
    fc.oneof(
      oneOf('/', '/a', '/open/a'),
      joined(pathPiece, 5).map(rest => `/open/${rest}`),
    ),
    async (others, own, target) => {
      const headers = ['Host', 'a', ...others, ...own]
      const decision = await decide(
        { httpVersion: '1.1', method: 'GET', target, headers },
        gate.steps,
      )
      if (!('headers' in decision)) return true
      const names = decision.headers.filter((_, at) => at % 2 === 0)
      const said = decision.headers.filter(
        (_, at) =>
          at % 2 === 1 &&
          /^x_(forwarded_(user|email|groups)|amzn_oidc_)/.test(laxly(names[(at - 1) / 2] ?? '')),
      )
      const expected = [ALICE.email, ALICE.email, 'dev,ops', own[1]]
      if (decision.verdict.outcome === 'authenticated') {
        return JSON.stringify(said) === JSON.stringify(expected)
      }
      return said.length === 0 && target.startsWith('/open/')
    },
  ),
}
