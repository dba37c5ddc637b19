/**
 * The answers that have to do with the ALB's session: signing in again, signing out, who am I.
 *
 * The session is a cookie between the browser and the load balancer. We cannot read it, but we can
 * expire it, and a browser that comes without it is sent to sign in. Nothing here is made of the
 * request but the path of a redirect to ourselves, and that only when it cannot lead anywhere else.
 *
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#authentication-logout
 */
import type { HeaderList } from '../core/headers.ts'
import type { Identity } from '../core/identity.ts'
import type { Reply } from '../core/reply.ts'
import type { Rejected } from '../core/verdict.ts'

export interface SessionOptions {
  /** Name of the ALB's session cookie, which it splits into shards `-0` to `-3`. */
  readonly sessionCookie: string
  /** `''` turns a path off. */
  readonly signOutPath: string
  readonly signOutRedirectUrl: string
  readonly whoamiPath: string
  /** Whether an expired access token is worth signing in again for, as an expired ALB token is. */
  readonly renewsAccessToken: boolean
}

export interface Arrival {
  readonly method: string
  readonly target: string
  /** Whether a browser shows what comes back. */
  readonly isNavigation: boolean
  /** Values of the `Cookie` headers. */
  readonly cookies: readonly string[]
}

export interface Session {
  /** Which of our own paths a request asks for. */
  readonly ownPath: (method: string, target: string) => 'sign_out' | 'whoami' | undefined
  readonly signOut: () => Reply
  readonly whoami: (identity: Identity) => Reply
  /** Sends an expired navigation to sign in again, at most once in a while; else `undefined`. */
  readonly reauthenticate: (refusal: Rejected, arrival: Arrival) => Reply | undefined
}

/** Set while a browser has been sent to sign in again: it is not sent a second time meanwhile. */
export const MARKER_COOKIE = 'alb_auth_reauthenticated'
const MARKER_SECONDS = 60

/** An ALB's cookie of up to 16 KB comes in this many shards. */
const SHARDS = ['', '-0', '-1', '-2', '-3']
const EXPIRED = 'Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly'

export function createSession(options: SessionOptions): Session {
  const { signOutPath, whoamiPath } = options
  const forget: HeaderList = SHARDS.flatMap(shard => [
    'Set-Cookie',
    `${options.sessionCookie}${shard}=; ${EXPIRED}`,
  ])

  return {
    ownPath(method, target) {
      const query = target.indexOf('?')
      const path = query < 0 ? target : target.slice(0, query)
      const reads = method === 'GET' || method === 'HEAD'
      if (path === signOutPath && (reads || method === 'POST')) return 'sign_out'
      if (path === whoamiPath && reads) return 'whoami'
      return undefined
    },

    signOut: () => redirect(options.signOutRedirectUrl, forget),

    whoami: ({ user, email, groups, expiresAt }) => ({
      status: 200,
      headers: [],
      contentType: 'application/json',
      body: `${JSON.stringify({ user, email, groups, expiresAt })}\n`,
    }),

    reauthenticate({ reason, source }, { method, target, isNavigation, cookies }) {
      const isOver = reason === 'token_expired' && (source === 'alb' || options.renewsAccessToken)
      if (!isOver || !isNavigation || (method !== 'GET' && method !== 'HEAD')) return undefined
      if (cookies.some(holdsMarker)) return undefined
      const marker = `${MARKER_COOKIE}=1; Path=/; Max-Age=${MARKER_SECONDS}; Secure; HttpOnly; SameSite=Lax`
      return redirect(ownLocation(target), [...forget, 'Set-Cookie', marker])
    },
  }
}

function holdsMarker(cookies: string): boolean {
  return cookies.split(';').some(cookie => cookie.trim().startsWith(`${MARKER_COOKIE}=`))
}

/**
 * The same path on the same origin. A browser reads `//host` and `/\host` as another host; admit
 * refuses the backslash, and here a run of leading slashes becomes one.
 *
 * @param target An admitted request target: visible ASCII that begins with a slash.
 */
export function ownLocation(target: string): string {
  return `/${target.replace(/^[/\\]+/, '')}`
}

function redirect(location: string, headers: HeaderList): Reply {
  return {
    status: 302,
    headers: ['Location', location, ...headers],
    contentType: 'text/plain; charset=utf-8',
    body: '',
  }
}
