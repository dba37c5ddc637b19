/**
 * One name for a request: in our answers, in the log, and, through the load balancer's trace id, in
 * the logs of everything in front of us.
 */
import { randomUUID } from 'node:crypto'
import { valuesOf, type HeaderList } from '../core/headers.ts'

/** @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html */
const ROOT = /(?:^|;)Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)/

/**
 * The `Root` of the one `X-Amzn-Trace-Id`, or a new random id where there is none that is well-formed.
 * It is a label, not a proof: a client may have chosen it.
 */
export function requestIdOf(headers: HeaderList): string {
  const [trace = '', ...more] = valuesOf(headers, 'x-amzn-trace-id')
  const [, root] = (more.length === 0 ? ROOT.exec(trace) : null) ?? []
  return root ?? randomUUID()
}
