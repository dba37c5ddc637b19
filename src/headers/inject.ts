/**
 * What this process asserts to the application: who the user is, and the ALB's own tokens once they
 * are verified. The only maker of {@link UpstreamHeaders}.
 */
import { isIP } from 'node:net'
import {
  OIDC_ACCESS_TOKEN,
  OIDC_DATA,
  OIDC_HEADERS,
  OIDC_IDENTITY,
  OIDC_PREFIX,
  pairs,
  textAt,
  valuesOf,
  type HeaderList,
  type ReceivedHeaders,
  type ScrubbedHeaders,
  type UpstreamHeaders,
} from '../core/headers.ts'
import type { Identity } from '../core/identity.ts'
import { remembered } from '../core/remembered.ts'
import { rejected, type Rejected } from '../core/verdict.ts'
import { encodeValue } from './encode.ts'

export interface InjectOptions {
  /** Header names; `''` turns a header off. */
  readonly userHeader: string
  readonly emailHeader: string
  readonly groupsHeader: string
  readonly clientIpHeader: string
  /** One character between groups, encoded where it occurs in a value. */
  readonly groupsSeparator: string
  /** `list`: joined by the separator, without spaces. `json`: an array of the encoded names. */
  readonly groupsFormat: 'list' | 'json'
  /** Longest groups header in bytes; a longer one refuses the request. */
  readonly groupsMaxBytes: number
  /** Which of the ALB's headers go on to the application once verified. */
  readonly forwardOidcHeaders: 'all' | 'data' | 'none'
  /** Under `report` the ALB's headers go on as they came, verified or not. */
  readonly enforcement: 'enforce' | 'report'
  /** The client's address is this far from the right of `X-Forwarded-For`; the ALB's is 1. */
  readonly trustedHops: number
}

/** Names and values that say who the user is, ready to be appended. */
export type Assertion = HeaderList

/** What an authenticated request says to the application beyond what it was sent with. */
export interface Vouched {
  readonly assertion: Assertion
  /** The received header names, in lower case, that verification vouches for. */
  readonly verified: readonly string[]
}

export interface Inject {
  /** The headers that a client may never send, because we do. */
  readonly owned: readonly string[]
  /**
   * The headers for a verified identity, before anything is decided: a groups header that is too long
   * is a reason not to let the request in (`groups_too_large`), never one to cut.
   */
  readonly assert: (identity: Identity) => Assertion | Rejected
  /**
   * @param received Where the verified tokens are taken from, byte for byte.
   * @param vouched None for an anonymous request.
   */
  readonly finish: (
    scrubbed: ScrubbedHeaders,
    received: ReceivedHeaders,
    vouched?: Vouched,
  ) => UpstreamHeaders
}

/** What `FORWARD_OIDC_HEADERS` lets through, provided it was verified. */
const FORWARDED = {
  all: [OIDC_DATA, OIDC_IDENTITY, OIDC_ACCESS_TOKEN],
  data: [OIDC_DATA],
  none: [],
} as const satisfies Record<InjectOptions['forwardOidcHeaders'], readonly string[]>

export function createInject(options: InjectOptions): Inject {
  const { userHeader, emailHeader, groupsHeader, clientIpHeader, groupsSeparator } = options
  const isReporting = options.enforcement === 'report'
  const forwarded: readonly string[] = isReporting ? [] : FORWARDED[options.forwardOidcHeaders]

  function groupsValue(groups: readonly string[]): string {
    if (options.groupsFormat === 'json') {
      return JSON.stringify(groups.map(group => encodeValue(group, '')))
    }
    return groups.map(group => encodeValue(group, groupsSeparator)).join(groupsSeparator)
  }

  return {
    owned: [userHeader, emailHeader, groupsHeader, clientIpHeader].filter(name => name !== ''),

    assert(identity) {
      const asserted: string[] = []
      const { user, email } = identity
      if (userHeader !== '') asserted.push(userHeader, encodeValue(user, groupsSeparator))
      if (emailHeader !== '' && email !== undefined) {
        asserted.push(emailHeader, encodeValue(email, groupsSeparator))
      }
      if (groupsHeader !== '') {
        const groups = groupsValue(identity.groups)
        if (groups.length > options.groupsMaxBytes) {
          const detail = `groups header of ${groups.length} bytes, GROUPS_MAX_BYTES is ${options.groupsMaxBytes}`
          return rejected('groups_too_large', { check: 'groups_size', detail })
        }
        if (groups !== '') asserted.push(groupsHeader, groups)
      }
      return asserted
    },

    finish(scrubbed, received, vouched) {
      const added: string[] = []
      const address =
        clientIpHeader === '' ? undefined : clientAddress(received, options.trustedHops)
      if (address !== undefined) added.push(clientIpHeader, address)
      if (isReporting) added.push(...oidcHeaders(received))
      if (vouched === undefined) return asUpstream(scrubbed.concat(added))
      const { assertion, verified } = vouched
      added.push(...assertion)
      for (let i = 0; i + 1 < received.length; i += 2) {
        const name = oidcName(textAt(received, i))
        if (!forwarded.includes(name) || !verified.includes(name)) continue
        added.push(textAt(received, i), textAt(received, i + 1))
      }
      return asUpstream(scrubbed.concat(added))
    },
  }
}

/** A name in lower case if it is one of the ALB's three, else `other`. */
const oidcName = remembered(name => {
  const lower = name.toLowerCase()
  return OIDC_HEADERS.includes(lower) ? lower : 'other'
})

/** What the ALB might have said, as it came: for report mode, which changes nothing for the worse. */
function oidcHeaders(received: HeaderList): HeaderList {
  return [...pairs(received)].filter(([name]) => isStandardOidc(name.toLowerCase())).flat()
}

function isStandardOidc(name: string): boolean {
  return name.startsWith(OIDC_PREFIX) && /^[a-z0-9-]+$/.test(name)
}

/**
 * The address that the nearest trusted hop saw, or `undefined` when the list is too short or holds
 * something else there. A port, which ALBs append when asked to preserve it, is cut off.
 *
 * @param hops 1 is the last entry, the one the ALB appended; what is left of it is the client's word.
 */
export function clientAddress(received: HeaderList, hops: number): string | undefined {
  const entries = valuesOf(received, 'x-forwarded-for').join(',').split(',')
  const entry = entries.at(-hops)?.trim() ?? ''
  const [, v6, v4] = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?$/.exec(entry) ?? []
  const address = v6 ?? v4 ?? entry
  return isIP(address) === 0 || address.includes('%') ? undefined : address
}

function asUpstream(list: HeaderList): UpstreamHeaders {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-type-assertion -- the one place that makes the brand
  return list as UpstreamHeaders
}
