/**
 * A load balancer with everything it needs: keys, a key server, and an identity provider unless there
 * is one already. This is the door for tests of other applications: see the README.
 */

import { type Alb, type AlbOptions, startAlb } from './alb.ts'
import { CALLBACK_PATH } from './authenticate.ts'
import {
  type IdentityProvider,
  type IdpSettings,
  type Person,
  startIdentityProvider,
} from './identity-provider.ts'
import { type KeyServer, startKeyServer } from './key-server.ts'
import type { OidcSettings } from './oidc-client.ts'
import { type Signer, createSigner } from './signer.ts'
import { USERS } from './users.ts'

export interface SimulatorOptions extends Omit<
  AlbOptions,
  'signer' | 'oidc' | 'keyServer' | 'now' | 'shape'
> {
  /** Default: {@link DEFAULT_ARN}. */
  readonly arn?: string
  /** An identity provider of your own. Default: one is started, with `users`. */
  readonly oidc?: OidcSettings
  readonly users?: Readonly<Record<string, Person>>
  readonly idp?: Partial<IdpSettings>
  /** Both of the ALB's tokens and of the identity provider's; default `generic`. */
  readonly shape?: 'cognito' | 'generic'
  readonly idpPort?: number
  readonly keyPort?: number
  /** Path on the load balancer where one lands after signing out of the identity provider. */
  readonly signedOutPath?: string
  readonly now?: () => number
}

export interface Simulator {
  readonly alb: Alb
  readonly keyServer: KeyServer
  /** `undefined` when there was one already. */
  readonly idp: IdentityProvider | undefined
  /** The one that signs at first. */
  readonly signer: Signer
  readonly oidc: OidcSettings
  /** A URL template with `{region}` and `{kid}`. */
  readonly keyUrl: string
  /** Signs out of the identity provider, and leads back to `signedOutPath`. */
  readonly signOutUrl: string | undefined
  readonly close: () => Promise<void>
}

export const DEFAULT_ARN =
  'arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/simulator/0123456789abcdef'
const CLIENT_ID = 'simulator-client'
const CLIENT_SECRET = 'simulator-secret'

/** Starts everything on 127.0.0.1; load balancer and identity provider on `host`, if that is given. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { arn = DEFAULT_ARN, shape = 'generic', signedOutPath = '/signed-out' } = options
  const idp =
    options.oidc === undefined
      ? await startIdentityProvider({
          port: options.idpPort ?? 0,
          ...(options.host && { host: options.host }),
          users: options.users ?? USERS,
          settings: { shape, ...options.idp },
        })
      : undefined
  const oidc = options.oidc ?? oidcOf(idp)
  const now = options.now ?? Date.now
  const signer = createSigner({ arn, client: oidc.clientId, issuer: oidc.issuer, now })
  const keyServer = await startKeyServer({ port: options.keyPort ?? 0, keys: [signer] })
  const alb = await startAlb({ ...options, signer, oidc, keyServer, shape, now })

  const landing = new URL(signedOutPath, alb.url).href
  idp?.register({
    clientId: oidc.clientId,
    clientSecret: oidc.clientSecret,
    redirectUris: [alb.url, alb.httpUrl].flatMap(url => [
      `${url}${CALLBACK_PATH}`,
      `${url.replace('127.0.0.1', 'localhost')}${CALLBACK_PATH}`,
    ]),
    postLogoutRedirectUris: [landing],
  })
  const signOut = new URLSearchParams({
    client_id: oidc.clientId,
    post_logout_redirect_uri: landing,
  })

  const partition = arn.split(':')[1] ?? 'aws'
  const layout = partition === 'aws-us-gov' ? 'aws-elb-public-keys-prod-{region}' : '{region}'
  return {
    alb,
    keyServer,
    idp,
    signer,
    oidc,
    keyUrl: `${keyServer.url}/${layout}/{kid}`,
    signOutUrl: idp && `${idp.endSessionEndpoint}?${signOut.toString()}`,
    close: async () => {
      await alb.close()
      await Promise.all([keyServer.close(), idp?.close()])
    },
  }
}

function oidcOf(idp: IdentityProvider | undefined): OidcSettings {
  if (idp === undefined) throw new Error('there is no identity provider')
  const { issuer, authorizationEndpoint, tokenEndpoint, userInfoEndpoint } = idp
  return {
    ...{ issuer, authorizationEndpoint, tokenEndpoint, userInfoEndpoint },
    ...{ clientId: CLIENT_ID, clientSecret: CLIENT_SECRET },
    scope: 'openid email profile groups',
  }
}
