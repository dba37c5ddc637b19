/**
 * One request, from its header to its end. Read this file first.
 *
 *   admit → route → scrub → verify → normalise → judge → inject → forward → settle
 *
 * Each step is a folder and knows no other; only this file knows the types that pass between them. A
 * step that cannot decide rejects, and an exception is `internal_error`: answered 500, never forwarded.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from './core/clock.ts'
import type { ReceivedHeaders, UpstreamHeaders } from './core/headers.ts'
import type { Identity } from './core/identity.ts'
import { REASONS, type Reason } from './core/reasons.ts'
import type { Settled, StrippedCounts } from './core/settled.ts'
import {
  ANONYMOUS,
  rejected,
  type Anonymous,
  type Authenticated,
  type Rejected,
} from './core/verdict.ts'
import type { Forward, Forwarded } from './forward/forward.ts'
import type { Assertion, Inject } from './headers/inject.ts'
import type { Scrubbed } from './headers/scrub.ts'
import type { Proof } from './identity/normalize.ts'
import { pathOf } from './route/path.ts'
import type { Route } from './route/routes.ts'
import type { Admitted, Unadmitted } from './server/admit.ts'
import type { Refusal } from './server/refuse.ts'
import type { Verification } from './tokens/credentials.ts'

export interface Steps {
  readonly admit: (request: Unadmitted) => Admitted | Rejected
  readonly decideRoute: (method: string, target: string) => Route
  readonly scrub: (headers: ReceivedHeaders, route: Route['kind']) => Scrubbed | Rejected
  readonly verify: (headers: ReceivedHeaders) => Promise<Verification>
  readonly normalize: (proof: Proof) => Identity | Rejected
  readonly inject: Pick<Inject, 'assert' | 'finish'>
  /** `UNAUTHENTICATED`: what a guarded path does without a valid token. */
  readonly unauthenticated: 'deny' | 'allow'
  readonly forward: Forward['forward']
  readonly refuse: (request: IncomingMessage, response: ServerResponse, refusal: Refusal) => void
  readonly requestId: (request: IncomingMessage) => string
  /** Whether the process is about to leave, so that connections should not be kept. */
  readonly isClosing: () => boolean
  /** Called when a request begins; the function it returns, when the request is over. */
  readonly begin: () => (record: Settled) => void
  readonly clock: Clock
}

/** What was found out on the way, whatever was decided. */
interface Findings {
  readonly admitted?: Admitted
  readonly route?: Route
  readonly stripped?: StrippedCounts
}

type Decision = Findings &
  (
    | { readonly verdict: Rejected }
    | {
        readonly verdict: Authenticated | Anonymous
        readonly admitted: Admitted
        readonly headers: UpstreamHeaders
        /** An invalid token that was taken out, and why. */
        readonly ignored?: Rejected
      }
  )

/** Decides one request. Pure but for the key look-ups behind `verify`; sends nothing. */
export async function decide(request: Unadmitted, steps: Steps): Promise<Decision> {
  const admitted = steps.admit(request)
  if (admitted.outcome === 'rejected') return { verdict: admitted }
  const { method, target, headers: received } = admitted

  const route = steps.decideRoute(method, target)
  const scrubbed = steps.scrub(received, route.kind)
  if ('outcome' in scrubbed) return { verdict: scrubbed, admitted, route }

  const claim = establish(await steps.verify(received), received, steps)
  const judgement = judge(route, claim, steps.unauthenticated)
  const { verdict } = judgement
  const stripped = countStripped(scrubbed, verdict.outcome)
  if (verdict.outcome === 'rejected') return { verdict, admitted, route, stripped }
  const { assertion, ignored } = judgement
  const headers = steps.inject.finish(scrubbed.headers, received, assertion)
  return { verdict, admitted, route, stripped, headers, ...(ignored && { ignored }) }
}

/** A verified identity that can be told to the application, with the headers that tell it. */
type Established = Authenticated & { readonly assertion: Assertion }

/** From proven claims to headers; what cannot be said whole is a reason not to believe any of it. */
function establish(
  verification: Verification,
  received: ReceivedHeaders,
  steps: Pick<Steps, 'normalize' | 'inject'>,
): Established | Rejected | 'absent' {
  if (verification === 'absent' || verification.outcome === 'rejected') return verification
  const identity = steps.normalize(verification)
  if ('outcome' in identity) return identity
  const assertion = steps.inject.assert(identity, received, verification.verifiedHeaders)
  if ('outcome' in assertion) return assertion
  return { outcome: 'authenticated', identity, assertion }
}

interface Judgement {
  readonly verdict: Authenticated | Anonymous | Rejected
  readonly assertion?: Assertion
  readonly ignored?: Rejected
}

/**
 * An open route never fails for its token, and never gains an identity from a bad one. A guarded one
 * that lets the unauthenticated through still refuses whoever is signed in but not allowed (403), and
 * does not guess while the keys cannot be had (503).
 */
function judge(
  route: Route,
  claim: Established | Rejected | 'absent',
  unauthenticated: 'deny' | 'allow',
): Judgement {
  const isGuarded = route.kind === 'guarded'
  if (claim === 'absent') {
    const isDenied = isGuarded && unauthenticated === 'deny'
    return { verdict: isDenied ? rejected('token_missing') : ANONYMOUS }
  }
  if (claim.outcome === 'authenticated') {
    const { assertion, ...verdict } = claim
    return { verdict, assertion }
  }
  const isFinal = unauthenticated === 'deny' || REASONS[claim.reason].status !== 401
  if (isGuarded && isFinal) return { verdict: claim }
  return { verdict: ANONYMOUS, ignored: claim }
}

/** The ALB's own headers count as stripped only where nobody vouched for them. */
function countStripped({ stripped, claimed }: Scrubbed, outcome: string): StrippedCounts {
  const oidc = (stripped.oidc ?? 0) + (outcome === 'authenticated' ? 0 : claimed)
  return { ...stripped, ...(oidc > 0 && { oidc }) }
}

/**
 * @returns A function that sees one request through to its end and never rejects for anything that a
 * client, an application or a network does.
 */
export function createPipeline(
  steps: Steps,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    const startedAt = steps.clock.monotonicMs()
    const settled = steps.begin()
    const requestId = steps.requestId(request)
    let decision: Decision = { verdict: rejected('internal_error') }
    let decidedAt: number | undefined
    let result: Result
    try {
      decision = await decide(asUnadmitted(request), steps)
      decidedAt = steps.clock.monotonicMs()
      result = await act(decision, { request, response, requestId })
    } catch (fault) {
      result = { refusal: rejected('internal_error'), fault, cutShort: response.headersSent }
    }
    if (result.refusal !== undefined) {
      send(result.refusal.reason, decision, { request, response, requestId })
    }

    const endedAt = steps.clock.monotonicMs()
    const status = result.refusal ? REASONS[result.refusal.reason].status : result.status
    const { method = '' } = request
    settled({
      requestId,
      method,
      ...whereabouts(decision),
      verdict: result.refusal ?? decision.verdict,
      ...('ignored' in decision && { ignored: decision.ignored }),
      stripped: decision.stripped ?? {},
      ...(status !== undefined && { status }),
      cutShort: result.cutShort,
      decisionSeconds: ((decidedAt ?? endedAt) - startedAt) / 1000,
      totalSeconds: (endedAt - startedAt) / 1000,
      ...('fault' in result && { fault: result.fault }),
    })
  }

  /** Carries a decision out. */
  async function act(decision: Decision, { request, response }: Exchange): Promise<Result> {
    if (!('headers' in decision)) return { refusal: decision.verdict, cutShort: false }
    const { method, target, hasHost, body, expectsContinue, asksUpgrade } = decision.admitted
    const { headers } = decision
    const isClosing = () => asksUpgrade || steps.isClosing()
    const forwarded = await steps.forward({
      ...{ method, target, headers, hasHost, body, expectsContinue },
      ...{ request, response, isClosing },
    })
    return resultOf(forwarded)
  }

  function send(
    reason: Reason,
    decision: Decision,
    { request, response, requestId }: Exchange,
  ): void {
    if (response.headersSent) {
      response.destroy()
      return
    }
    const asksUpgrade = decision.admitted?.asksUpgrade ?? false
    const close = steps.isClosing() || isInDoubt(reason) || asksUpgrade
    steps.refuse(request, response, { reason, requestId, close })
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
}

/** How a request ended. With a `refusal`, the answer is ours and still to be sent. */
interface Result {
  readonly refusal?: Rejected
  readonly status?: number
  readonly cutShort: boolean
  readonly fault?: unknown
}

function resultOf(forwarded: Forwarded): Result {
  if (forwarded.outcome === 'failed') {
    const { reason, detail } = forwarded
    return { refusal: rejected(reason, { detail }), cutShort: false }
  }
  const { outcome, status } = forwarded
  return { ...(status !== undefined && { status }), cutShort: outcome !== 'sent' }
}

/** Where framing or meaning was in doubt, the connection must not be used for another request. */
function isInDoubt(reason: Reason): boolean {
  return [400, 405, 417, 431].includes(REASONS[reason].status)
}

/** What may be recorded of where a request went: the rule on an open route, the path elsewhere. */
function whereabouts({ route, admitted }: Findings): Pick<Settled, 'route' | 'rule' | 'path'> {
  if (route?.kind === 'open') return { route: 'open', rule: route.rule }
  return { route: 'guarded', ...(admitted && { path: pathOf(admitted.target) }) }
}

function asUnadmitted(request: IncomingMessage): Unadmitted {
  const { httpVersion, method = '', url: target = '', rawHeaders: headers } = request
  return { httpVersion, method, target, headers }
}
