/**
 * What the identity provider remembers, in memory: codes, grants, sessions, and the clients that were
 * registered with it. Nothing survives the process, and nothing outlives its own expiry.
 */

import type { Adapter, AdapterPayload } from 'oidc-provider'

interface Entry {
  readonly payload: AdapterPayload
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export interface IdpStore {
  /** One view of the store for each kind of thing, as oidc-provider asks for it. */
  readonly adapter: (model: string) => Adapter
  readonly registerClient: (clientId: string, metadata: AdapterPayload) => void
  /** Everything but the clients is forgotten: all are signed out, no refresh token is good. */
  readonly forget: () => void
}

/** An empty store. */
export function createIdpStore(now: () => number = Date.now): IdpStore {
  const entries = new Map<string, Entry>()

  const find = (key: string): AdapterPayload | undefined => {
    const entry = entries.get(key)
    if (entry !== undefined && entry.expiresAt > now()) return entry.payload
    entries.delete(key)
    return undefined
  }
  const findWhere = (model: string, isIt: (payload: AdapterPayload) => boolean) => {
    const keys = [...entries.keys()].filter(key => key.startsWith(`${model}:`))
    return keys.map(find).find(payload => payload !== undefined && isIt(payload))
  }

  const adapter = (model: string): Adapter => ({
    upsert: (id, payload, expiresIn = Number.POSITIVE_INFINITY) => {
      const expiresAt = now() + expiresIn * 1000
      entries.set(`${model}:${id}`, { payload, expiresAt })
      return Promise.resolve()
    },
    find: id => Promise.resolve(find(`${model}:${id}`)),
    findByUid: uid => Promise.resolve(findWhere(model, payload => payload.uid === uid)),
    findByUserCode: code => Promise.resolve(findWhere(model, each => each.userCode === code)),
    consume: id => {
      const payload = find(`${model}:${id}`)
      if (payload !== undefined) payload.consumed = Math.floor(now() / 1000)
      return Promise.resolve()
    },
    destroy: id => {
      entries.delete(`${model}:${id}`)
      return Promise.resolve()
    },
    revokeByGrantId: grantId => {
      for (const [key, { payload }] of entries) {
        if (payload.grantId === grantId) entries.delete(key)
      }
      return Promise.resolve()
    },
  })

  return {
    adapter,
    registerClient: (clientId, payload) => {
      entries.set(`Client:${clientId}`, { payload, expiresAt: Number.POSITIVE_INFINITY })
    },
    forget: () => {
      for (const key of entries.keys()) if (!key.startsWith('Client:')) entries.delete(key)
    },
  }
}
