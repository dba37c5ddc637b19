/**
 * Turns verified claims into an {@link Identity}, or says why there is none to be had.
 */
import type { Check } from '../core/checks.ts'
import type { Claims, Identity } from '../core/identity.ts'
import type { Reason } from '../core/reasons.ts'
import { quote, rejected, type Rejected, type SourceName } from '../core/verdict.ts'
import { findClaim, findText } from './claims.ts'
import { isGroupsOverage, readGroups } from './groups.ts'
import { lowerAscii, trimAscii } from './text.ts'

export interface NormalizeOptions {
  /** Claim names or JSON pointers; the first present wins. */
  readonly userClaims: readonly string[]
  readonly emailClaims: readonly string[]
  readonly groupsClaims: readonly string[]
  /** Whose claims are asked for groups, the first that has the claim. */
  readonly groupsSources: readonly SourceName[]
  /** How a groups claim that is a plain string is cut; `''` not at all. */
  readonly groupsSplit: string
  readonly userCase: 'keep' | 'lower'
  readonly groupsCase: 'keep' | 'lower'
  /** Whether a group is kept; applied before the map. */
  readonly keepsGroup: (group: string) => boolean
  readonly groupsMap: ReadonlyMap<string, string>
  /** One of them must be held; empty means that anybody may pass. Compared after map and case. */
  readonly allowedGroups: readonly string[]
  /** The e-mail address must be in one of them; empty means that anybody may pass. Lower case. */
  readonly allowedEmailDomains: readonly string[]
  readonly requireEmailVerified: boolean
}

const OVERAGE = Symbol('groups overage')

/** What was verified, and until when. */
export interface Proof {
  readonly subject: string
  readonly albClaims: Claims
  /** Absent when no access token was believed. */
  readonly accessClaims?: Claims
  readonly expiresAt: number
}

/**
 * @returns A pure function of verified claims. Groups are filtered, mapped, brought to one case,
 * trimmed, de-duplicated and sorted by code unit, so that equal sets make equal headers.
 */
export function createNormalize(options: NormalizeOptions): (proof: Proof) => Identity | Rejected {
  return proof => {
    const { subject, albClaims, expiresAt } = proof
    const found = findText(albClaims, options.userClaims)
    if (found === undefined) {
      return refused(
        'user',
        'identity_missing',
        `no text under USER_CLAIM ${options.userClaims.join(',')}`,
      )
    }
    const email = findText(albClaims, options.emailClaims)
    if (options.requireEmailVerified && !isTrue(albClaims['email_verified'])) {
      return refused('email_verified', 'email_unverified', 'email_verified is not true')
    }
    const claim = findGroups(proof)
    if (claim === OVERAGE)
      return refused('groups', 'groups_overage', 'the provider left the groups out')
    const groups = normalizeGroups(claim)
    const refusal = checkAllowed(groups, email)
    if (refusal !== undefined) return refusal
    const user = options.userCase === 'lower' ? lowerAscii(found) : found
    return { subject, user, ...(email !== undefined && { email }), groups, expiresAt }
  }

  /** The groups claim of the first source that has one; a source that left it out decides as well. */
  function findGroups({ albClaims, accessClaims }: Proof): unknown {
    const claimsOf = { alb: albClaims, access_token: accessClaims }
    for (const source of options.groupsSources) {
      const claims = claimsOf[source] ?? {}
      if (isGroupsOverage(claims, options.groupsClaims)) return OVERAGE
      const found = findClaim(claims, options.groupsClaims)
      if (found !== undefined) return found
    }
    return undefined
  }

  function normalizeGroups(claim: unknown): readonly string[] {
    const mapped = readGroups(claim, options.groupsSplit)
      .filter(options.keepsGroup)
      .map(group => trimAscii(options.groupsMap.get(group) ?? group))
      .map(group => (options.groupsCase === 'lower' ? lowerAscii(group) : group))
    return [...new Set(mapped)].filter(group => group !== '').sort()
  }

  /** Both lists must be satisfied where both are set. */
  function checkAllowed(
    groups: readonly string[],
    email: string | undefined,
  ): Rejected | undefined {
    const { allowedGroups, allowedEmailDomains } = options
    if (allowedGroups.length > 0 && !allowedGroups.some(group => groups.includes(group))) {
      return refused('allowed_groups', 'not_allowed', 'none of the groups is in ALLOWED_GROUPS')
    }
    if (allowedEmailDomains.length === 0) return undefined
    const domain = email === undefined ? undefined : domainOf(email)
    if (domain !== undefined && allowedEmailDomains.includes(domain)) return undefined
    return refused(
      'allowed_domains',
      'not_allowed',
      `ALLOWED_EMAIL_DOMAINS does not hold ${quote(domain)}`,
    )
  }
}

/** The part after the only `@`, in lower case; `a@b@c` has none (oauth2-proxy GHSA-c5c4-8r6x-56w3). */
function domainOf(email: string): string | undefined {
  const [local, domain, ...more] = email.split('@')
  if (local === undefined || local === '' || more.length > 0) return undefined
  return domain === undefined ? undefined : lowerAscii(domain)
}

/** Cognito sends its booleans as text. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true'
}

function refused(check: Check, reason: Reason, detail: string): Rejected {
  return rejected(reason, { source: 'alb', check, detail })
}
