/** The kinds of stripped headers are a closed list: a metric label, SPEC §11. */
import t from 'tap'
import { STRIPPED_KINDS, type StrippedKind } from '../../src/core/settled.ts'

t.test('every kind of stripped header is listed, once, as the contract names it', t => {
  const all: Record<StrippedKind, true> = {
    oidc: true,
    identity: true,
    nonstandard: true,
    listed: true,
  }
  t.strictSame(STRIPPED_KINDS, Object.keys(all))
  t.end()
})
