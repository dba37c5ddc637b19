/**
 * What the sidecar would do with one request, and why. The decision is the gate's own: the same
 * functions as in the proxy, asked once; here is only told how far they got.
 */
import { CHECKS, type Check, type Subject } from '../core/checks.ts'
import { EXIT } from '../core/exit.ts'
import { OIDC_ACCESS_TOKEN, OIDC_DATA, OIDC_IDENTITY, valuesOf } from '../core/headers.ts'
import { quote, rejected, type Rejected } from '../core/verdict.ts'
import type { CreatedGate } from '../gate.ts'
import { decide, type Decision } from '../pipeline.ts'
import { readLeniently, type Evidence } from './evidence.ts'
import { routeLines } from './explain-path.ts'
import { showMoment } from './moment.ts'
import type { Page } from './page.ts'
import type { PastedRequest } from './pasted.ts'
import { walk } from './walk.ts'

type About = Pick<Evidence, 'config' | 'now' | 'albKeySource' | 'accessKeySource'>

/** @returns The exit code. */
export async function explainRequest(
  request: PastedRequest,
  gate: CreatedGate,
  about: About,
  page: Page,
): Promise<number> {
  const { method, target, headers, isWhole } = request
  const decision = await decide({ httpVersion: '1.1', method, target, headers }, gate.steps)
  const [data] = valuesOf(headers, OIDC_DATA)
  const [access] = valuesOf(headers, OIDC_ACCESS_TOKEN)
  const [identityHeader] = valuesOf(headers, OIDC_IDENTITY)
  const evidence: Evidence = {
    ...{ ...about, identityHeader },
    alb: data === undefined ? undefined : readLeniently(data),
    access: access === undefined ? undefined : readLeniently(access),
  }
  const refusal = refusalIn(decision)
  const failed = refusal?.check
  // Counted once scrubbing is over, and only then are tokens looked at.
  const isAsked = decision.stripped !== undefined

  page.head('request', 'The request')
  if (!isWhole) page.mark('note', 'no request line: taken for GET /')
  if (decision.admitted === undefined) {
    page.mark('bad', `refused before it is judged: ${refusal?.detail ?? 'as it stands'}`)
  } else {
    page.mark('good', 'it can be read in only one way')
    const [route = '', ...why] = routeLines(method, target, about.config, gate.steps)
    page.mark('note', [route, ...why].join('; '))
  }

  page.head('alb', "The load balancer's token (x-amzn-oidc-data)")
  if (data === undefined && isAsked) {
    page.mark('bad', 'none was sent')
    page.say(
      '      the load balancer adds it behind the browser: copy the request where the\n      application gets it, or the header itself',
    )
  } else {
    page.steps(walk('alb', failed, isAsked), refusal, evidence)
  }
  page.head('access_token', "The identity provider's access token (x-amzn-oidc-accesstoken)")
  const isAlbProven = data !== undefined && isAsked && subjectOf(failed) !== 'alb'
  await explainAccess(access, { gate, page, evidence, refusal, isAlbProven })
  page.head('identity', 'The identity')
  const isProven = isAlbProven && subjectOf(failed) !== 'access_token'
  page.steps(walk('identity', failed, isProven), refusal, evidence)
  page.head('verdict', 'The verdict')
  return tellVerdict(decision, page)
}

function tellVerdict(decision: Decision, page: Page): number {
  const { verdict } = decision
  if (verdict.outcome === 'rejected') {
    const code = page.refused(verdict)
    if ('reply' in decision) {
      page.mark('note', 'a browser is sent to sign in again, once')
    }
    return code
  }
  const refusal = refusalIn(decision)
  const forgiven = refusal === undefined ? {} : { forgiven: refusal.reason }
  if (verdict.outcome === 'authenticated') {
    const { user, email, groups, expiresAt } = verdict.identity
    const addressed = email === undefined ? {} : { email }
    const until = showMoment(expiresAt)
    page.verdict({
      ...{ outcome: 'authenticated', user, ...addressed, groups, expiresAt: until },
      ...forgiven,
    })
    page.mark('good', `authenticated as ${quote(user)} until ${until}`)
    if (email !== undefined) page.mark('note', `e-mail ${quote(email)}`)
    page.mark(
      'note',
      groups.length === 0 ? 'no groups' : `groups ${groups.map(each => quote(each)).join(', ')}`,
    )
  } else {
    page.verdict({ outcome: 'anonymous', ...forgiven })
    page.mark('odd', 'anonymous: it goes on without an identity')
  }
  if (refusal !== undefined) {
    const isSpared = 'headers' in decision && decision.wouldReject !== undefined
    const how = isSpared ? 'ENFORCEMENT=report lets it pass' : 'its token does not count'
    page.mark('odd', `${how}: ${refusal.reason}`)
  }
  if ('reply' in decision) page.mark('note', 'answered by the sidecar itself')
  return EXIT.fine
}

interface AccessContext {
  readonly gate: CreatedGate
  readonly page: Page
  readonly evidence: Evidence
  readonly refusal: Rejected | undefined
  readonly isAlbProven: boolean
}

/** The access token of a request, which may be ignored, absent, or forgiven its faults. */
async function explainAccess(
  token: string | undefined,
  { gate, page, evidence, refusal, isAlbProven }: AccessContext,
): Promise<void> {
  const { config } = evidence
  if (config.accessToken === 'ignore') {
    page.mark('note', 'not looked at, and not forwarded: ACCESS_TOKEN=ignore')
    return
  }
  if (token === undefined && config.accessToken === 'optional') {
    page.mark('note', 'none was sent, and none is needed: ACCESS_TOKEN=optional')
    return
  }
  const isFault = subjectOf(refusal?.check) === 'access_token'
  const forgiven =
    isAlbProven && !isFault && token !== undefined ? await faultOf(token, gate) : undefined
  const found = isFault ? refusal : forgiven
  page.steps(walk('access_token', found?.check, isAlbProven), found, evidence)
  if (forgiven !== undefined) {
    page.mark('note', 'which is forgiven: its claims do not count, and it is not forwarded')
  }
}

/** The access token alone. @returns The exit code. */
export async function explainAccessToken(
  token: string,
  gate: CreatedGate,
  about: About,
  page: Page,
): Promise<number> {
  const refusal = await faultOf(token, gate)
  const evidence: Evidence = {
    ...about,
    ...{ alb: undefined, access: readLeniently(token), identityHeader: undefined },
  }
  page.head('access_token', "The identity provider's access token")
  if (about.config.accessToken === 'ignore') {
    page.mark('note', 'ACCESS_TOKEN=ignore: the sidecar would not look at it')
  }
  const steps = walk('access_token', refusal?.check, true)
  page.steps(
    steps.filter(({ check }) => check !== 'access_binding'),
    refusal,
    evidence,
  )
  page.head('verdict', 'The verdict')
  if (refusal !== undefined) return page.refused(refusal)
  page.verdict({ outcome: 'valid' })
  page.mark('good', "valid, if the load balancer's token beside it names the same user")
  return EXIT.fine
}

async function faultOf(token: string, gate: CreatedGate): Promise<Rejected | undefined> {
  const found = await gate.verifyAccessToken(token)
  if (found.outcome === 'verified') return undefined
  if (found.outcome === 'rejected') return found
  return rejected('token_opaque', { source: 'access_token', check: 'access_form' })
}

/** What was wrong, whether or not it stopped the request. */
function refusalIn(decision: Decision): Rejected | undefined {
  const { verdict } = decision
  if (verdict.outcome === 'rejected') return verdict
  return 'headers' in decision ? (decision.wouldReject ?? decision.ignored) : undefined
}

function subjectOf(check: Check | undefined): Subject | undefined {
  return check === undefined ? undefined : CHECKS[check].of
}
