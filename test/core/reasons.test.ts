/** The closed list of refusals is the contract's, SPEC §12, status by status. */
import t from 'tap'
import { REASONS, REASON_NAMES, isReason, type ReasonInfo } from '../../src/core/reasons.ts'

/** SPEC §12, typed off. */
const CONTRACT: Readonly<Record<number, readonly string[]>> = {
  400: ['malformed_request', 'duplicate_header'],
  405: ['method_refused'],
  417: ['expectation_refused'],
  431: ['headers_too_large'],
  401: [
    ...['token_missing', 'token_too_large', 'token_malformed', 'token_opaque', 'algorithm_refused'],
    ...['signer_mismatch', 'client_mismatch', 'issuer_mismatch', 'audience_mismatch'],
    ...['token_use_mismatch', 'token_expired', 'token_not_yet_valid', 'claims_invalid'],
    ...['key_unknown', 'signature_invalid', 'subject_mismatch'],
  ],
  403: [
    'identity_missing',
    'email_unverified',
    'groups_overage',
    'groups_too_large',
    'not_allowed',
  ],
  503: ['key_unavailable', 'upstream_saturated'],
  502: ['upstream_unreachable', 'upstream_invalid'],
  504: ['upstream_timeout'],
  500: ['internal_error'],
}

/** Reasons that only an access token can give, SPEC §5. */
const ACCESS_TOKEN_ONLY = [
  'token_opaque',
  'audience_mismatch',
  'token_use_mismatch',
  'token_not_yet_valid',
]

t.test('every reason has the status that the contract gives it', t => {
  for (const name of REASON_NAMES) {
    const info: ReasonInfo = REASONS[name]
    t.ok(CONTRACT[info.status]?.includes(name), `${name} is a ${info.status}`)
  }
  const missing = Object.values(CONTRACT)
    .flat()
    .filter(name => !isReason(name))
  t.same(
    missing.filter(name => !ACCESS_TOKEN_ONLY.includes(name)),
    [],
    'and none is missing',
  )
  t.end()
})

t.test('the names are the rows of the table, in its order', t => {
  t.same(REASON_NAMES, Object.keys(REASONS))
  t.equal(new Set(REASON_NAMES).size, REASON_NAMES.length)
  for (const name of REASON_NAMES) t.match(name, /^[a-z]+(?:_[a-z]+)*$/, `${name} can be a label`)
  t.end()
})

t.test('each reason is one sentence for the operator', t => {
  const meanings = REASON_NAMES.map(name => REASONS[name].meaning)
  for (const meaning of meanings) t.match(meaning, /^[A-Z][^\n|]*\.$/, meaning)
  t.equal(new Set(meanings).size, meanings.length, 'and no two are the same')
  t.end()
})

/** A client that forges tokens should not learn which check it has already passed. */
t.test('a client is not told what speaks of keys or configuration', t => {
  const told = REASON_NAMES.filter(name => REASONS[name].disclosed)
  const secret = REASON_NAMES.filter(name =>
    /^(?:key|signature|signer|client|issuer|algorithm|subject|claims|internal)_/.test(name),
  )
  t.same(
    secret.filter(name => told.includes(name)),
    [],
  )
  t.ok(secret.length >= 10, 'which is most of them')
  for (const name of [
    'token_missing',
    'token_expired',
    'not_allowed',
    'malformed_request',
  ] as const) {
    t.ok(told.includes(name), `${name} is told: the client can do something about it`)
  }
  t.end()
})

t.test('only a row of the table is a reason', t => {
  for (const name of REASON_NAMES) t.equal(isReason(name), true, name)
  for (const name of [
    '',
    'toString',
    '__proto__',
    'constructor',
    'Token_missing',
    'token_missing ',
  ]) {
    t.equal(isReason(name), false, `'${name}'`)
  }
  t.end()
})
