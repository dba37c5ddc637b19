/**
 * The built sidecar behind the simulator, with an application of the stage's choice behind it.
 */
import type { Test } from 'tap'
import { startSidecar, type Sidecar } from '../../simulator/sidecar.ts'
import { startSimulator, type Simulator, type SimulatorOptions } from '../../simulator/simulator.ts'

export interface World extends Simulator {
  readonly sidecar: Sidecar
  /** What the sidecar has written. */
  readonly log: () => string
  /** Another sidecar with other settings, not registered with the load balancer yet. */
  readonly another: (settings: Readonly<Record<string, string>>) => Promise<Sidecar>
}

export const SIGN_OUT_PATH = '/.auth/sign-out'

type Settings = Readonly<Record<string, string>> & { readonly UPSTREAM_URL: string }

/**
 * @param given Settings of the sidecar, or a function that makes them once the simulator is there;
 * `UPSTREAM_URL` is the application.
 */
export async function startWorld(
  t: Pick<Test, 'teardown'>,
  given: Settings | ((simulator: Simulator) => Promise<Settings>),
  options: SimulatorOptions = {},
): Promise<World> {
  const simulator = await startSimulator({ providerTimeoutSeconds: 60, ...options })
  t.teardown(simulator.close)
  const settings = typeof given === 'function' ? await given(simulator) : given
  let log = ''
  const another = async (others: Readonly<Record<string, string>>) => {
    const sidecar = await startSidecar({
      ...{ main: 'dist/main.js', port: 0, adminPort: 0 },
      settings: {
        ALB_ARNS: simulator.signer.arn,
        ALB_CLIENT_IDS: simulator.signer.client,
        OIDC_ISSUER: simulator.signer.issuer,
        ALB_KEY_URL: simulator.keyUrl,
        ACCESS_TOKEN: 'required',
        SIGN_OUT_PATH,
        SIGN_OUT_REDIRECT_URL: simulator.signOutUrl ?? '',
        // All clocks are this machine's.
        CLOCK_TOLERANCE: '0s',
        DRAIN_DELAY: '0s',
        DRAIN_TIMEOUT: '2s',
        ...settings,
        ...others,
      },
      onOutput: text => {
        log += text
      },
    })
    t.teardown(sidecar.stop)
    return sidecar
  }
  const sidecar = await another({})
  simulator.alb.register(sidecar.url)
  return { ...simulator, sidecar, another, log: () => log }
}

/** Until it is so; thirty seconds at most. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + 30_000
  while (!(await isSo())) {
    if (Date.now() > deadline) return false
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  return true
}
