import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { shownSettings } from '../../src/cli/shown-settings.ts'
import { loadConfig } from '../../src/config/config.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

t.test('every setting is shown with its source, and nothing secret is', t => {
  const folder = mkdtempSync(join(tmpdir(), 'settings-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  writeFileSync(join(folder, 'clients'), CLIENT)
  const shown = shownSettings(
    loadConfig({
      ALB_ARNS: ARN,
      ALB_CLIENT_IDS_FILE: join(folder, 'clients'),
      OIDC_ISSUER: ISSUER,
      IDP: 'okta',
      https_proxy: 'http://user:secret@proxy:3128',
      ALB_KEY_URL: 'https://keys/{kid}?sig=secret',
      NOAUTH_PATHS: '/a?b, GET /c@d/*',
    }),
  )
  const expected = [
    { variable: 'ALB_ARNS', value: ARN, source: 'ALB_ARNS' },
    { variable: 'ALB_CLIENT_IDS', value: CLIENT, source: 'ALB_CLIENT_IDS_FILE' },
    { variable: 'HTTPS_PROXY', value: 'http://…@proxy:3128', source: 'https_proxy' },
    { variable: 'ALB_KEY_URL', value: 'https://keys/{kid}?…', source: 'ALB_KEY_URL' },
    { variable: 'NOAUTH_PATHS', value: '/a?b, GET /c@d/*', source: 'NOAUTH_PATHS' },
    { variable: 'ACCESS_TOKEN', value: 'required', source: 'IDP=okta' },
    { variable: 'PORT', value: '8080', source: 'default' },
    { variable: 'NO_PROXY', value: '', source: 'not set' },
  ]
  for (const each of expected) {
    t.same(
      shown.find(({ variable }) => variable === each.variable),
      each,
      each.variable,
    )
  }
  t.notMatch(JSON.stringify(shown), /secret/)
  t.end()
})
