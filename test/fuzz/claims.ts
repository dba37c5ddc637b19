/**
 * Claims: whatever they are, the headers made of them say them and nothing else.
 */
import fc from 'fast-check'
import { createInject } from '../../src/headers/inject.ts'
import { createNormalize } from '../../src/identity/normalize.ts'
import { oneOf, type Property } from './property.ts'

const inject = createInject({
  ...{ userHeader: 'X-User', emailHeader: 'X-Email', groupsHeader: 'X-Groups', clientIpHeader: '' },
  ...{ groupsSeparator: ',', groupsFormat: 'list', groupsMaxBytes: 8_192, trustedHops: 1 },
  ...{ forwardOidcHeaders: 'none', enforcement: 'enforce' },
})
const normalize = createNormalize({
  ...{
    userClaims: ['email', '/a/b'],
    emailClaims: ['email'],
    groupsClaims: ['groups', 'toString'],
  },
  ...{
    groupsSources: ['access_token', 'alb'],
    groupsSplit: '',
    userCase: 'lower',
    groupsCase: 'keep',
  },
  ...{ keepsGroup: () => true, groupsMap: new Map(), allowedGroups: [], allowedEmailDomains: [] },
  requireEmailVerified: false,
})
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  oneOf('a,b', ' a', '%2C', '[a, b]', '["a"]', '\r\nX: y'),
)
const json = fc.oneof(text, fc.array(text, { maxLength: 5 }), fc.jsonValue({ maxDepth: 3 }))
const claims = fc.record(
  { email: json, groups: json, a: json, __proto__: fc.constant({}) },
  { requiredKeys: [] },
)
export const says: Property = {
  name: 'claims become headers that say them and nothing else',
  share: 100_000,
  property: fc.property(
    claims,
    fc.option(claims, { nil: undefined }),
    (albClaims, accessClaims) => {
      const identity = normalize({
        ...{ subject: 'a', albClaims, expiresAt: 0 },
        ...(accessClaims && { accessClaims }),
      })
      if ('outcome' in identity) return true
      const assertion = inject.assert(identity)
      if ('outcome' in assertion) return true
      const found = new Map<string, string>()
      for (let at = 0; at < assertion.length; at += 2)
        found.set(assertion[at] ?? '', assertion[at + 1] ?? '')
      const isPlain = [...found.values()].every(each =>
        /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(each),
      )
      const wellFormed = (value: string) => Buffer.from(value).toString()
      const groups = found.get('X-Groups')?.split(',').map(decodeURIComponent) ?? []
      return (
        isPlain &&
        found.size * 2 === assertion.length &&
        decodeURIComponent(found.get('X-User') ?? '') === wellFormed(identity.user) &&
        JSON.stringify(groups) === JSON.stringify(identity.groups.map(wellFormed))
      )
    },
  ),
}
