/**
 * A few of the sidecar's counters, read off its metrics page for people to look at.
 */

export interface Counter {
  readonly name: string
  readonly value: number
}

/** Series that have counted something: requests by verdict, refusals and stripped headers by kind. */
export function countersIn(metrics: string): readonly Counter[] {
  const shown = [
    ['alb_auth_requests_total', 'verdict', 'requests, '],
    ['alb_auth_rejections_total', 'reason', 'refused, '],
    ['alb_auth_would_reject_total', 'reason', 'would be refused, '],
    ['alb_auth_stripped_headers_total', 'kind', 'headers stripped, '],
  ] as const
  const sums = new Map<string, number>()
  for (const line of metrics.split('\n')) {
    for (const [series, label, prefix] of shown) {
      if (!line.startsWith(`${series}{`)) continue
      const value = Number(line.slice(line.lastIndexOf(' ')))
      const name = prefix + (new RegExp(`\\b${label}="([^"]*)"`).exec(line)?.[1] ?? '')
      if (value > 0) sums.set(name, (sums.get(name) ?? 0) + value)
    }
  }
  return [...sums].map(([name, value]) => ({ name, value }))
}
