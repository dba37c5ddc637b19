/**
 * The Grafana dashboard, built: `deploy/grafana/dashboard.json` is what this makes (`npm run docs`), and
 * every query in it is asked of a live Prometheus by test/deploy/prometheus.stage.ts.
 *
 * Plain JSON of Grafana's schema version 39 (Grafana 10 and newer). Two variables: the data source and
 * the jobs to look at.
 */

export interface Query {
  readonly expr: string
  readonly legend: string
}

export interface Panel {
  readonly title: string
  readonly description: string
  /** Grafana's id of the unit of the values. */
  readonly unit: 'reqps' | 's' | 'percentunit' | 'short' | 'bytes'
  readonly queries: readonly Query[]
  /** `stat` shows the last value alone. */
  readonly type?: 'timeseries' | 'stat'
  /** Of the dashboard's 24 columns. */
  readonly width?: number
}

export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

const JOB = 'job=~"$job"'
const rate = (metric: string, labels = '') =>
  `rate(${metric}{${JOB}${labels === '' ? '' : `, ${labels}`}}[$__rate_interval])`
const quantile = (q: number, metric: string, by: string, labels = '') =>
  `histogram_quantile(${q}, sum by (${by}, le) (${rate(`${metric}_bucket`, labels)}))`

export const ROWS: readonly Row[] = [
  {
    title: 'Now',
    panels: [
      {
        ...{ title: 'Sidecars', type: 'stat', unit: 'short', width: 4 },
        description: 'How many are scraped, by version.',
        queries: [
          { expr: `count by (version) (alb_auth_build_info{${JOB}})`, legend: '{{version}}' },
        ],
      },
      {
        ...{ title: 'Requests', type: 'stat', unit: 'reqps', width: 4 },
        description: 'All, whatever was decided.',
        queries: [{ expr: `sum(${rate('alb_auth_requests_total')})`, legend: 'all' }],
      },
      {
        ...{ title: 'Refused', type: 'stat', unit: 'percentunit', width: 4 },
        description: 'Refused of all requests.',
        queries: [
          {
            expr: `sum(${rate('alb_auth_requests_total', 'verdict="rejected"')}) / sum(${rate('alb_auth_requests_total')})`,
            legend: 'refused',
          },
        ],
      },
      {
        ...{ title: 'In flight', type: 'stat', unit: 'short', width: 4 },
        description: 'Requests that have not been answered to their end.',
        queries: [{ expr: `sum(alb_auth_requests_in_flight{${JOB}})`, legend: 'in flight' }],
      },
      {
        ...{ title: 'Draining', type: 'stat', unit: 'short', width: 4 },
        description: 'Sidecars that are about to leave.',
        queries: [{ expr: `sum(alb_auth_draining{${JOB}})`, legend: 'draining' }],
      },
      {
        ...{ title: 'Unsafe settings', type: 'stat', unit: 'short', width: 4 },
        description: 'Sidecars that leave a check out by an UNSAFE_ setting. Should be 0.',
        queries: [{ expr: `sum(alb_auth_unsafe_settings{${JOB}})`, legend: 'unsafe' }],
      },
    ],
  },
  {
    title: 'What was decided',
    panels: [
      {
        ...{ title: 'Requests by verdict', unit: 'reqps' },
        description: 'On guarded and on open paths.',
        queries: [
          {
            expr: `sum by (verdict, route) (${rate('alb_auth_requests_total')})`,
            legend: '{{verdict}}, {{route}}',
          },
        ],
      },
      {
        ...{ title: 'Refused, by reason', unit: 'reqps' },
        description: 'docs/reasons.md says what each means. signer_mismatch is never ordinary.',
        queries: [
          {
            expr: `sum by (reason, source) (${rate('alb_auth_rejections_total')}) > 0`,
            legend: '{{reason}} ({{source}})',
          },
        ],
      },
      {
        ...{ title: 'Would be refused, by reason', unit: 'reqps' },
        description: 'Under ENFORCEMENT=report: what to look at before enforcing. All 0 otherwise.',
        queries: [
          {
            expr: `topk(10, sum by (reason, source) (${rate('alb_auth_would_reject_total')}))`,
            legend: '{{reason}} ({{source}})',
          },
        ],
      },
      {
        ...{ title: 'Invalid tokens taken out', unit: 'reqps' },
        description: 'Requests that went on as anonymous with their bad token taken out.',
        queries: [
          {
            expr: `topk(10, sum by (reason, source) (${rate('alb_auth_invalid_tokens_total')}))`,
            legend: '{{reason}} ({{source}})',
          },
        ],
      },
      {
        ...{ title: 'Headers taken out', unit: 'short' },
        description:
          'A rising `oidc` or `identity` means that somebody sends what only we may say.',
        queries: [
          {
            expr: `sum by (kind) (${rate('alb_auth_stripped_headers_total')})`,
            legend: '{{kind}}',
          },
        ],
      },
      {
        ...{ title: 'Life left in tokens', unit: 's' },
        description: 'When they were verified. An ALB gives about two minutes.',
        queries: [
          {
            expr: quantile(0.5, 'alb_auth_token_lifetime_seconds', 'source'),
            legend: '{{source}}, median',
          },
        ],
      },
    ],
  },
  {
    title: 'How long it took',
    panels: [
      {
        ...{ title: 'Time to a verdict', unit: 's' },
        description: 'From the header of a request to its verdict.',
        queries: [0.5, 0.99].map(q => ({
          expr: quantile(q, 'alb_auth_decision_duration_seconds', 'verdict'),
          legend: `{{verdict}}, p${q * 100}`,
        })),
      },
      {
        ...{ title: 'Time to the end of the answer', unit: 's' },
        description: 'The application’s time included.',
        queries: [0.5, 0.99].map(q => ({
          expr: quantile(q, 'alb_auth_request_duration_seconds', 'code'),
          legend: `{{code}}, p${q * 100}`,
        })),
      },
    ],
  },
  {
    title: 'Keys and tokens',
    panels: [
      {
        ...{ title: 'Key look-ups', unit: 'short' },
        description: 'What the cache had. `limited`: too many unknown keys at once.',
        queries: [
          {
            expr: `sum by (keys, result) (${rate('alb_auth_key_cache_lookups_total')})`,
            legend: '{{keys}}: {{result}}',
          },
        ],
      },
      {
        ...{ title: 'Key fetches', unit: 'short' },
        description: 'How they ended, an hour at a time: there are few.',
        queries: [
          {
            expr: `sum by (keys, outcome) (increase(alb_auth_key_fetches_total{${JOB}}[1h]))`,
            legend: '{{keys}}: {{outcome}}',
          },
        ],
      },
      {
        ...{ title: 'Time of a key fetch', unit: 's' },
        description: 'Its retry included; over an hour.',
        queries: [
          {
            expr: `histogram_quantile(0.99, sum by (keys, le) (rate(alb_auth_key_fetch_duration_seconds_bucket{${JOB}}[1h])))`,
            legend: '{{keys}}, p99',
          },
        ],
      },
      {
        ...{ title: 'Verified tokens remembered', unit: 'percentunit' },
        description: 'Tokens that had been verified before, of all.',
        queries: [
          {
            expr: `sum by (source) (${rate('alb_auth_token_cache_lookups_total', 'result="hit"')}) / sum by (source) (${rate('alb_auth_token_cache_lookups_total')})`,
            legend: '{{source}}',
          },
        ],
      },
    ],
  },
  {
    title: 'The application and the process',
    panels: [
      {
        ...{ title: 'Errors of the application', unit: 'reqps' },
        description: 'Requests that it did not answer properly.',
        queries: [
          {
            expr: `sum by (kind) (${rate('alb_auth_upstream_errors_total')})`,
            legend: '{{kind}}',
          },
        ],
      },
      {
        ...{ title: 'Connections to the application', unit: 'short' },
        description: 'Open ones, idle ones included; at most UPSTREAM_CONNECTIONS each.',
        queries: [
          { expr: `alb_auth_upstream_connections{${JOB}}`, legend: '{{instance}}' },
          { expr: `alb_auth_websockets{${JOB}}`, legend: '{{instance}} WebSockets' },
        ],
      },
      {
        ...{ title: 'Workers replaced', unit: 'short' },
        description: 'Within the last hour. Should be 0, and is with WORKERS=1.',
        queries: [
          {
            expr: `increase(alb_auth_worker_restarts_total{${JOB}}[1h])`,
            legend: '{{instance}}',
          },
        ],
      },
      {
        ...{ title: 'Memory', unit: 'bytes' },
        description: 'Resident.',
        queries: [{ expr: `process_resident_memory_bytes{${JOB}}`, legend: '{{instance}}' }],
      },
      {
        ...{ title: 'Processor', unit: 'percentunit' },
        description: 'Of one core.',
        queries: [
          { expr: rate('process_cpu_seconds_total'), legend: '{{instance}}' },
          { expr: `nodejs_eventloop_lag_p99_seconds{${JOB}}`, legend: '{{instance}} loop lag p99' },
        ],
      },
    ],
  },
]

const DATASOURCE = { type: 'prometheus', uid: '${datasource}' } as const
const COLUMNS = 24
const HEIGHT = { timeseries: 8, stat: 4 } as const

/** Where a panel stands: left to right, then the next line. */
interface Cursor {
  x: number
  y: number
  id: number
}

function panelAt(cursor: Cursor, panel: Panel): object {
  const { title, description, unit, queries, type = 'timeseries', width = 12 } = panel
  if (cursor.x + width > COLUMNS) {
    cursor.x = 0
    cursor.y += HEIGHT[type]
  }
  const gridPos = { x: cursor.x, y: cursor.y, w: width, h: HEIGHT[type] }
  cursor.x += width
  return {
    ...{ id: ++cursor.id, type, title, description, datasource: DATASOURCE, gridPos },
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    options:
      type === 'stat'
        ? { reduceOptions: { calcs: ['lastNotNull'] }, textMode: 'value_and_name' }
        : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
    targets: queries.map(({ expr, legend }, at) => ({
      ...{ refId: String.fromCharCode(65 + at), datasource: DATASOURCE },
      ...{ expr, legendFormat: legend, range: true },
    })),
  }
}

/** The dashboard as Grafana imports it. */
export function dashboard(): object {
  const cursor: Cursor = { x: 0, y: 0, id: 0 }
  const panels = ROWS.flatMap(({ title, panels }) => {
    const heading = {
      ...{ id: ++cursor.id, type: 'row', title, collapsed: false, panels: [] },
      gridPos: { x: 0, y: cursor.y, w: COLUMNS, h: 1 },
    }
    cursor.y += 1
    const placed = panels.map(panel => panelAt(cursor, panel))
    cursor.y += HEIGHT[panels.at(-1)?.type ?? 'timeseries']
    cursor.x = 0
    return [heading, ...placed]
  })
  return {
    ...{ uid: 'alb-auth-sidecar', title: 'alb-auth-sidecar', tags: ['alb-auth-sidecar'] },
    description:
      'What the sidecar decided, how long it took, and whether its keys and application are there.',
    ...{ schemaVersion: 39, version: 1, editable: true, refresh: '30s', timezone: '' },
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
        {
          ...{ name: 'job', label: 'Job', type: 'query', datasource: DATASOURCE },
          ...{ query: 'label_values(alb_auth_build_info, job)', refresh: 2, sort: 1 },
          ...{
            multi: true,
            includeAll: true,
            allValue: '.+',
            current: { text: 'All', value: '$__all' },
          },
        },
      ],
    },
    annotations: { list: [] },
    panels,
  }
}
