/** What steps may report are closed lists: label values of metrics, SPEC §11. */
import t from 'tap'
import {
  FETCH_OUTCOMES,
  KEY_SOURCES,
  LOOKUP_RESULTS,
  UPSTREAM_ERROR_KINDS,
  type FetchOutcome,
  type KeySource,
  type LookupResult,
  type UpstreamErrorKind,
} from '../../src/core/telemetry.ts'

/** Keyed by its union, so that a new member is a compile error here and then a failing row. */
const LABELS = {
  keys: { found: KEY_SOURCES, all: { alb: true, jwks: true } satisfies Record<KeySource, true> },
  result: {
    found: LOOKUP_RESULTS,
    all: { hit: true, miss: true, stale: true, negative: true, limited: true } satisfies Record<
      LookupResult,
      true
    >,
  },
  outcome: {
    found: FETCH_OUTCOMES,
    all: { ok: true, unknown: true, error: true, timeout: true, refused: true } satisfies Record<
      FetchOutcome,
      true
    >,
  },
  kind: {
    found: UPSTREAM_ERROR_KINDS,
    all: {
      unreachable: true,
      timeout: true,
      aborted: true,
      saturated: true,
      invalid: true,
    } satisfies Record<UpstreamErrorKind, true>,
  },
}

for (const [label, { found, all }] of Object.entries(LABELS)) {
  t.test(`every value of the label ${label} is listed, once, as the contract names it`, t => {
    t.strictSame(found, Object.keys(all))
    t.end()
  })
}
