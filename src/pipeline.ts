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
import { valuesOf, type ReceivedHeaders, type UpstreamHeaders } from './core/headers.ts'
import type { Identity } from './core/identity.ts'
import { isNavigation } from './core/navigation.ts'
import { REASONS, type Reason } from './core/reasons.ts'
import type { Reply } from './core/reply.ts'
import type { Settled, StrippedCounts } from './core/settled.ts'
import type { Upgrade } from './core/upgrade.ts'
import {
  ANONYMOUS,
  rejected,
  type Anonymous,
  type Authenticated,
  type Rejected,
  type Verdict,
} from './core/verdict.ts'
import type { Forward, Forwarded, Outgoing } from './forward/forward.ts'
import type { Inject, Vouched } from './headers/inject.ts'
import type { Scrubbed } from './headers/scrub.ts'
import type { Proof } from './identity/normalize.ts'
import { pathOf } from './route/path.ts'
import type { Route } from './route/routes.ts'
import type { Admitted, Unadmitted } from './server/admit.ts'
import type { ReplyOptions } from './server/refuse.ts'
import type { Session } from './session/session.ts'
import type { Verification } from './tokens/credentials.ts'

/** The steps that decide, and send nothing. */
export interface Gate {
  readonly admit: (request: Unadmitted) => Admitted | Rejected
  readonly decideRoute: (method: string, target: string) => Route
  readonly scrub: (headers: ReceivedHeaders, route: Route['kind']) => Scrubbed | Rejected
  readonly verify: (headers: ReceivedHeaders) => Verification | Promise<Verification>
  readonly normalize: (proof: Proof) => Identity | Rejected
  readonly inject: Pick<Inject, 'assert' | 'finish'>
  /** `UNAUTHENTICATED`: what a guarded path does without a valid token. */
  readonly unauthenticated: 'deny' | 'allow'
  /** `ENFORCEMENT`: whether a refusal for the token is carried out or only reported. */
  readonly enforcement: 'enforce' | 'report'
  readonly session: Session
}

export interface Steps extends Gate {
  readonly forward: Forward['forward']
  readonly refusalFor: (reason: Reason, headers: readonly string[]) => Reply
  readonly sendReply: (
    request: IncomingMessage,
    response: ServerResponse,
    reply: Reply,
    options: ReplyOptions,
  ) => void
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

/** What was decided, and what is to be done about it. */
export type Decision = Findings &
  (
    | { readonly verdict: Rejected; readonly reply?: Reply }
    /** One of our own paths. */
    | { readonly verdict: Authenticated | Anonymous; readonly reply: Reply }
    | (Passed & { readonly admitted: Admitted; readonly headers: UpstreamHeaders })
  )

/** A request that goes on. */
type Passing = Extract<Decision, { readonly headers: unknown }>

/** What goes on to the application, and what was wrong with its token where that did not stop it. */
interface Passed {
  readonly verdict: Authenticated | Anonymous
  /** An invalid token that was taken out. */
  readonly ignored?: Rejected | undefined
  /** What report mode let pass. */
  readonly wouldReject?: Rejected | undefined
}

const GUARDED: Route = { kind: 'guarded' }

/**
 * Decides one request. Pure but for the key look-ups behind `verify`; sends nothing.
 *
 * @returns At once, unless a token has to be verified first.
 */
export function decide(request: Unadmitted, steps: Gate): Decision | Promise<Decision> {
  const { session } = steps
  const admitted = steps.admit(request)
  if (admitted.outcome === 'rejected') return { verdict: admitted }
  const { method, target, headers: received } = admitted

  const ownPath = session.ownPath(method, target)
  if (ownPath === 'sign_out') return { verdict: ANONYMOUS, admitted, reply: session.signOut() }
  const route = ownPath === 'whoami' ? GUARDED : steps.decideRoute(method, target)
  const scrubbed = steps.scrub(received, route.kind)
  if ('outcome' in scrubbed) return { verdict: scrubbed, admitted, route }

  const verification = steps.verify(received)
  const known = { admitted, route, scrubbed, ownPath }
  if (!(verification instanceof Promise)) return conclude(verification, known, steps)
  return verification.then(late => conclude(late, known, steps))
}

/** What is known of a request before its tokens are. */
interface Known {
  readonly admitted: Admitted
  readonly route: Route
  readonly scrubbed: Scrubbed
  readonly ownPath: ReturnType<Session['ownPath']>
}

function conclude(
  verification: Verification,
  { admitted, route, scrubbed, ownPath }: Known,
  steps: Gate,
): Decision {
  const { session, inject } = steps
  const { method, target, headers: received } = admitted
  const claim = establish(verification, steps)
  const judgement = judge(route, claim, ownPath === 'whoami' ? STRICT : steps)
  const { verdict, ignored, wouldReject, vouched } = judgement
  const stripped = countStripped(scrubbed, verdict.outcome)
  if (verdict.outcome === 'rejected') {
    const reply = session.reauthenticate(verdict, {
      ...{ method, target, isNavigation: isNavigation(received) },
      cookies: valuesOf(received, 'cookie'),
    })
    const found = { admitted, route, stripped, verdict }
    return reply === undefined ? found : { ...found, reply }
  }
  if (ownPath === 'whoami' && verdict.outcome === 'authenticated') {
    return { admitted, route, stripped, verdict, reply: session.whoami(verdict.identity) }
  }
  const headers = inject.finish(scrubbed.headers, received, vouched)
  return { admitted, route, stripped, verdict, ignored, wouldReject, headers }
}

/** A verified identity that can be told to the application, and what tells it. */
interface Established {
  readonly outcome: 'established'
  readonly verdict: Authenticated
  readonly vouched: Vouched
}

/** From proven claims to headers; what cannot be said whole is a reason not to believe any of it. */
function establish(
  verification: Verification,
  { normalize, inject }: Pick<Gate, 'normalize' | 'inject'>,
): Established | Rejected | 'absent' {
  if (verification === 'absent' || verification.outcome === 'rejected') return verification
  const identity = normalize(verification)
  if ('outcome' in identity) return identity
  const assertion = inject.assert(identity)
  if ('outcome' in assertion) return assertion
  return {
    outcome: 'established',
    verdict: { outcome: 'authenticated', identity },
    vouched: { assertion, verified: verification.verifiedHeaders },
  }
}

/** The decision, but for what it is carried out with. */
interface Judgement extends Omit<Passed, 'verdict'> {
  readonly verdict: Verdict
  readonly vouched?: Vouched
}

type Leniency = Pick<Gate, 'unauthenticated' | 'enforcement'>

const STRICT: Leniency = { unauthenticated: 'deny', enforcement: 'enforce' }

/**
 * An open route never fails for its token, and never gains an identity from a bad one. A guarded one
 * that lets the unauthenticated through still refuses whoever is signed in but not allowed (403), and
 * does not guess while the keys cannot be had (503). Report mode lets all of them through, unnamed.
 */
function judge(
  route: Route,
  claim: Established | Rejected | 'absent',
  { unauthenticated, enforcement }: Leniency,
): Judgement {
  if (claim !== 'absent' && claim.outcome === 'established') return claim
  const refusal = claim === 'absent' ? rejected('token_missing') : claim
  const isFinal = unauthenticated === 'deny' || REASONS[refusal.reason].status !== 401
  if (route.kind === 'guarded' && isFinal) {
    if (enforcement === 'enforce') return { verdict: refusal }
    return { verdict: ANONYMOUS, wouldReject: refusal }
  }
  return claim === 'absent' ? { verdict: ANONYMOUS } : { verdict: ANONYMOUS, ignored: claim }
}

/** The ALB's own headers count as stripped only where nobody vouched for them. */
function countStripped({ stripped, claimed }: Scrubbed, outcome: string): StrippedCounts {
  if (claimed === 0 || outcome === 'authenticated') return stripped
  return { ...stripped, oidc: (stripped.oidc ?? 0) + claimed }
}

/**
 * @returns A function that sees one request through to its end and never rejects for anything that a
 * client, an application or a network does. A WebSocket's end, here, is that it has begun.
 */
export function createPipeline(
  steps: Steps,
): (request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade) => Promise<void> {
  const { clock, isClosing } = steps

  return async (request, response, upgrade) => {
    const startedAt = clock.monotonicMs()
    let id: string | undefined
    const requestId = () => (id ??= steps.requestId(request))
    const settled = steps.begin()
    let decision: Decision = { verdict: rejected('internal_error') }
    let decidedAt: number | undefined
    let end: End
    try {
      const decided = decide(asUnadmitted(request), steps)
      decision = decided instanceof Promise ? await decided : decided
      decidedAt = clock.monotonicMs()
      if ('headers' in decision) {
        const forwarded = await steps.forward(outgoing(decision, request, response, upgrade))
        end = endOf(decision, forwarded)
      } else {
        // An answer of ours waits for what the parser, which may be calling, has yet to say of the body.
        end = await Promise.resolve(decision)
      }
    } catch (fault) {
      end = { verdict: rejected('internal_error'), fault, cutShort: response.headersSent }
    }
    const reply = replyFor(end, request)
    if (reply !== undefined) {
      const asksUpgrade = decision.admitted?.asksUpgrade ?? false
      const close = isClosing() || isInDoubt(reply.status) || asksUpgrade
      if (response.headersSent) response.destroy()
      else steps.sendReply(request, response, reply, { requestId: requestId(), close })
    }

    const endedAt = clock.monotonicMs()
    const status = reply?.status ?? end.status
    const { method = '' } = request
    const { route, admitted } = decision
    const isOpen = route?.kind === 'open'
    const passed = 'headers' in decision ? decision : undefined
    settled({
      requestId,
      method,
      // The rule on an open route, which may be told where its path may not; the path elsewhere.
      route: isOpen ? 'open' : 'guarded',
      rule: isOpen ? route.rule : undefined,
      path: isOpen || admitted === undefined ? undefined : pathOf(admitted.target),
      verdict: end.verdict,
      ignored: passed?.ignored,
      wouldReject: passed?.wouldReject,
      stripped: decision.stripped ?? NOTHING_STRIPPED,
      status,
      cutShort: end.cutShort ?? false,
      decisionSeconds: ((decidedAt ?? endedAt) - startedAt) / 1000,
      totalSeconds: (endedAt - startedAt) / 1000,
      fault: end.fault,
    })
  }

  function outgoing(
    { headers, admitted }: Passing,
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Upgrade | undefined,
  ): Outgoing {
    const { method, target, hasHost, body, expectsContinue, asksUpgrade } = admitted
    return {
      method,
      target,
      headers,
      hasHost,
      body,
      expectsContinue,
      request,
      response,
      upgrade,
      isClosing: () => asksUpgrade || isClosing(),
    }
  }

  /** What is still to be answered by us: our own pages, and whatever was turned away. */
  function replyFor({ verdict, reply }: End, request: IncomingMessage): Reply | undefined {
    if (reply !== undefined || verdict.outcome !== 'rejected') return reply
    return steps.refusalFor(verdict.reason, request.rawHeaders)
  }
}

const NOTHING_STRIPPED: StrippedCounts = {}

/** How a request ended. */
interface End {
  readonly verdict: Verdict
  /** An answer of ours that is not the refusal the verdict calls for. */
  readonly reply?: Reply
  /** Of the application's answer. */
  readonly status?: number | undefined
  readonly cutShort?: boolean
  readonly fault?: unknown
}

/** How it ended for the application, which was asked. */
function endOf({ verdict }: Passing, forwarded: Forwarded): End {
  if (forwarded.outcome === 'failed') {
    return { verdict: rejected(forwarded.reason, { detail: forwarded.detail }) }
  }
  return { verdict, status: forwarded.status, cutShort: forwarded.outcome !== 'sent' }
}

/** Where framing or meaning was in doubt, the connection must not be used for another request. */
function isInDoubt(status: number): boolean {
  return [400, 405, 417, 431].includes(status)
}

function asUnadmitted(request: IncomingMessage): Unadmitted {
  const { httpVersion, method = '', url: target = '', rawHeaders: headers } = request
  return { httpVersion, method, target, headers }
}
