/**
 * Two sidecars under mixed traffic: one that enforces, with a Cognito-like provider, and one that only
 * reports, in front of an application that is not there. Everything that a metric counts happens.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { createSigner } from '../../simulator/signer.ts'
import { startPlace } from '../fixtures/place.ts'
import { startRecorder } from '../fixtures/recorder.ts'
import { ARN, CLIENT, startRig, type Rig } from '../fixtures/sidecar.ts'
import { signedIn, visit } from '../fixtures/visit.ts'

export interface Traffic {
  readonly sidecars: readonly Rig[]
  /** Ends the traffic. @throws what went wrong in it. */
  readonly stop: () => Promise<void>
}

const FOREIGN_ARN = ARN.replace('123456789012', '999988887777')

/** Goes on until it is stopped. */
export async function startTraffic(t: Pick<Test, 'teardown'>): Promise<Traffic> {
  const recorder = await startRecorder(t)
  const place = await startPlace(t, recorder, 'cognito', { NOAUTH_PATHS: '/open/*' })
  const { rig, idp } = place
  const nobody = await startRecorder(t)
  const reporting = await startRig(t, nobody.port, { ENFORCEMENT: 'report' })
  await nobody.close()

  const foreign = createSigner({ arn: FOREIGN_ARN, client: CLIENT, issuer: idp.issuer })
  let round = 0
  /** One of each kind of request. */
  const once = async () => {
    // As a load balancer does: two minutes.
    const exp = Math.floor(Date.now() / 1000) + 120
    const data = place.data({ header: { exp }, payload: { exp } })
    const access = place.access()
    const forged = `${data.slice(0, data.lastIndexOf('.'))}.${'A'.repeat(86)}`
    const stranger = signedIn(foreign.sign({ sub: 'stranger' }))
    for (let repeated = 0; repeated < 10; repeated++) {
      await visit(rig.port, { headers: signedIn(data, access) })
    }
    await visit(rig.port, { headers: [...signedIn(data, access), 'X_Forwarded-User: mallory'] })
    await visit(rig.port, { target: '/open/1' })
    await visit(rig.port, { target: '/open/2', headers: signedIn(forged) })
    await visit(rig.port)
    await visit(rig.port, { headers: signedIn(forged) })
    await visit(rig.port, { headers: stranger })
    await visit(rig.port, { headers: signedIn(data, 'opaque') })
    await visit(reporting.port, { headers: stranger })
    await visit(reporting.port, { headers: signedIn(reporting.token()) })
    if (++round % 5 !== 0) return
    // A load balancer takes a new key from time to time, and so does the provider.
    const renewed = createSigner({ arn: ARN, client: CLIENT, issuer: idp.issuer })
    rig.keys.publish(renewed)
    const claims = { sub: 'renewed', email: 'renewed@example.com' }
    await visit(rig.port, { headers: signedIn(renewed.sign(claims)) })
  }

  const end = new AbortController()
  const running = (async () => {
    while (!end.signal.aborted) {
      await once()
      await sleep(50)
    }
  })()
  running.catch(() => undefined)
  const stop = async () => {
    end.abort()
    await running
  }
  t.teardown(() => stop().catch(() => undefined))
  return { sidecars: [rig, reporting], stop }
}
