/**
 * Who can sign in at the simulator's identity provider unless others are named. The password of each
 * is `password`: there is nothing to steal.
 */

import type { Person } from './identity-provider.ts'

const person = (name: string, sub: string, groups: readonly string[]): Person => ({
  password: 'password',
  groups,
  claims: {
    sub,
    name,
    email: `${name.toLowerCase()}@example.com`,
    email_verified: true,
  },
})

export const USERS = {
  alice: person('Alice', '6f1c2a34-0000-4000-8000-00000000a11c', ['engineering', 'on-call']),
  bob: person('Bob', '6f1c2a34-0000-4000-8000-000000000b0b', ['sales']),
} as const satisfies Readonly<Record<string, Person>>
