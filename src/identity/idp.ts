/**
 * What each identity provider does differently, as one row each: the defaults that `IDP` sets. Every
 * one of them can still be set by its own variable.
 *
 * @see docs/identity-providers.md
 */

export interface IdpDefaults {
  /** Whether the access token that the ALB forwards can be verified by anybody but the provider. */
  readonly accessToken: 'required' | 'optional' | 'ignore'
  /** Where an access token names the client it was made for. */
  readonly clientClaims: readonly string[]
  /** The claim of the access token that equals the ALB token's `sub`. */
  readonly subjectClaim: string
  /** Whether `token_use` must be `access`. */
  readonly requireTokenUse: boolean
  readonly userClaims: readonly string[]
  readonly emailClaims: readonly string[]
  readonly groupsClaims: readonly string[]
}

export interface IdpRow extends IdpDefaults {
  /** Why the row is as it is, for the operator. */
  readonly trap: string
}

const CUSTOMARY = {
  accessToken: 'ignore',
  clientClaims: ['client_id', 'cid', 'azp', 'appid'],
  subjectClaim: 'sub',
  requireTokenUse: false,
  userClaims: ['email'],
  emailClaims: ['email'],
  groupsClaims: ['groups'],
} as const

export const IDPS = {
  generic: {
    ...CUSTOMARY,
    trap: 'Nothing is assumed; the access token is left alone until `ACCESS_TOKEN` is set.',
  },
  cognito: {
    ...CUSTOMARY,
    accessToken: 'required',
    clientClaims: ['client_id'],
    requireTokenUse: true,
    groupsClaims: ['cognito:groups', 'custom:groups'],
    trap: 'Groups are only in the access token, which has no `aud`: `client_id` and `token_use` stand for it. Federated groups arrive as the text `[a, b]`.',
  },
  okta: {
    ...CUSTOMARY,
    accessToken: 'required',
    clientClaims: ['cid'],
    subjectClaim: 'uid',
    trap: "For a custom authorization server: `sub` of its access token is the login, `uid` the user id that the ALB knows. The org server's tokens are not for others to verify: set `ACCESS_TOKEN=ignore`.",
  },
  entra: {
    ...CUSTOMARY,
    clientClaims: ['azp', 'appid'],
    userClaims: ['email', 'preferred_username'],
    groupsClaims: ['groups', 'roles'],
    trap: 'The access token is for Microsoft Graph and cannot be verified by others. Groups are object ids (`GROUPS_MAP_FILE`), and above 200 they are left out, which is refused as `groups_overage`.',
  },
  google: {
    ...CUSTOMARY,
    clientClaims: ['azp'],
    trap: 'The access token is opaque, and there are no groups in any claim.',
  },
  auth0: {
    ...CUSTOMARY,
    accessToken: 'optional',
    clientClaims: ['azp'],
    trap: 'The access token is opaque unless the authenticate rule asks for an `audience`. Groups stand under a claim of your own with a URL for a name: set `GROUPS_CLAIM` to it as it is.',
  },
  keycloak: {
    ...CUSTOMARY,
    accessToken: 'required',
    clientClaims: ['azp'],
    groupsClaims: ['groups', '/realm_access/roles'],
    trap: '`aud` is often `account`, so `azp` says whose the token is. Groups are paths (`/a/b`); without a groups mapper there are only realm roles.',
  },
} as const satisfies Record<string, IdpRow>

export type IdpName = keyof typeof IDPS
