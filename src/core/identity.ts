/**
 * Who the request is from, once verified: the only shape in which identity travels inwards.
 */

/** Claims of a verified token: parsed JSON whose own properties alone may be read. */
export type Claims = Readonly<Record<string, unknown>>

export interface Identity {
  /** `sub` of the ALB token: stable, opaque, unique at the issuer. */
  readonly subject: string
  /** What `USER_CLAIM` found; never empty. */
  readonly user: string
  /** What `EMAIL_CLAIM` found. */
  readonly email?: string
  /** Sorted, without duplicates, after filter, map and case. */
  readonly groups: readonly string[]
  /** When the proof of it expires, in seconds since the epoch. */
  readonly expiresAt: number
}
