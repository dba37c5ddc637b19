/**
 * What one request looked like from inside an application that believes every header, in any spelling.
 *
 * Names are read as WSGI and CGI read them, so `X_Forwarded_User` is `X-Forwarded-User`.
 */

import type { IncomingMessage } from 'node:http'
import { type HeaderList, headerList } from './loopback.ts'

export interface Report {
  readonly route: string
  /** All values under all spellings, joined; `null` when none arrived. */
  readonly user: string | null
  readonly email: string | null
  readonly groups: readonly string[]
  /** Every header that reads as one about identity; long values cut short. */
  readonly arrived: readonly { readonly name: string; readonly value: string }[]
  /** Names only. */
  readonly cookies: readonly string[]
}

/** One name for every spelling that some application reads alike. */
const fold = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '-')

const IDENTITY = /^(x-forwarded-(user|email|groups)|x-amzn-oidc-.*)$/

export function readReport(route: string, request: IncomingMessage): Report {
  const headers: HeaderList = headerList(request)
  const read = (name: string): string | null => {
    const values = headers.filter(([spelling]) => fold(spelling) === name).map(([, value]) => value)
    return values.length === 0 ? null : values.join(',')
  }
  return {
    route,
    user: read('x-forwarded-user'),
    email: read('x-forwarded-email'),
    groups: read('x-forwarded-groups')?.split(',') ?? [],
    arrived: headers
      .filter(([name]) => IDENTITY.test(fold(name)))
      .map(([name, value]) => ({ name, value: shortened(value) })),
    cookies: (read('cookie') ?? '')
      .split(/[;,] ?/)
      .flatMap(cookie => cookie.split('=', 1)[0] || []),
  }
}

const shortened = (value: string): string =>
  value.length > 80 ? `${value.slice(0, 60)}… (${value.length} bytes)` : value
