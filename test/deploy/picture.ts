/**
 * Draws what a run of the Prometheus stage left behind: some of the dashboard's panels, their queries
 * asked for the whole run, as one SVG. `WRITE_PICTURE=1 .ci/run prometheus` writes docs/dashboard.svg.
 */
import { writeFileSync } from 'node:fs'
import { ROWS, type Panel } from '../../scripts/dashboard.ts'

interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly values: readonly (readonly [seconds: number, value: string])[]
}

const TITLES = [
  ...['Requests by verdict', 'Refused, by reason', 'Headers taken out'],
  ...['Time to a verdict', 'Life left in tokens', 'Verified tokens remembered'],
]
const COLORS = ['#1f77b4', '#d62728', '#2ca02c', '#ff7f0e', '#9467bd', '#8c564b', '#e377c2']
const COLUMNS = 3
const WIDTH = 380
const HEIGHT = 250
const PLOT = { left: 48, top: 34, width: 318, height: 130 }
const LEGEND_LINES = 4

const escaped = (text: string) => text.replace(/[&<>]/g, each => `&#${each.charCodeAt(0)};`)

const UNITS: Readonly<Record<Panel['unit'], (value: number) => string>> = {
  reqps: value => `${round(value)}/s`,
  s: value => (value < 1 ? `${round(value * 1000)} ms` : `${round(value)} s`),
  percentunit: value => `${round(value * 100)} %`,
  short: round,
  bytes: value => `${round(value / 2 ** 20)} MiB`,
}

function round(value: number): string {
  return String(Number(value.toPrecision(2)))
}

function named(legend: string, metric: Series['metric']): string {
  return legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
}

/** @param api One of Prometheus's own paths under `/api/v1/`, and what it answers as `data`. */
export async function picture(
  file: string,
  api: (path: string) => Promise<unknown>,
): Promise<void> {
  const panels = ROWS.flatMap(row => row.panels).filter(({ title }) => TITLES.includes(title))
  const end = Date.now() / 1000
  const start = end - 60
  const drawn = await Promise.all(
    panels.map(async (panel, at) => {
      const lines = await Promise.all(
        panel.queries.map(async ({ expr, legend }) => {
          const query = expr.replaceAll('$__rate_interval', '15s').replaceAll('$job', '.+')
          const range = { query, start: String(start), end: String(end), step: '1' }
          const found = await api(`query_range?${new URLSearchParams(range).toString()}`)
          const { result } = found as { result: Series[] }
          return result.map(({ metric, values }) => ({
            name: named(legend, metric),
            points: values
              .map(([seconds, value]) => [seconds, Number(value)] as const)
              .filter(([, value]) => Number.isFinite(value)),
          }))
        }),
      )
      const x = (at % COLUMNS) * WIDTH
      const y = Math.floor(at / COLUMNS) * HEIGHT
      return `<g transform="translate(${x} ${y})">${chart(panel, lines.flat(), start, end)}</g>`
    }),
  )
  const height = Math.ceil(panels.length / COLUMNS) * HEIGHT
  const size = `viewBox="0 0 ${COLUMNS * WIDTH} ${height}" width="${COLUMNS * WIDTH}" height="${height}"`
  const background = `<rect width="100%" height="100%" fill="#ffffff"/>`
  const title = '<title>The dashboard, drawn from a run of .ci/run prometheus</title>'
  writeFileSync(
    file,
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">${title}${background}${drawn.join('')}</svg>\n`,
  )
}

interface Line {
  readonly name: string
  readonly points: readonly (readonly [seconds: number, value: number])[]
}

function chart(panel: Panel, lines: readonly Line[], start: number, end: number): string {
  const last = ({ points }: Line) => points.at(-1)?.[1] ?? 0
  const shown = lines.filter(({ points }) => points.length > 0).sort((a, b) => last(b) - last(a))
  const top = Math.max(...shown.flatMap(({ points }) => points.map(([, value]) => value)), 1e-9)
  const x = (seconds: number) => PLOT.left + ((seconds - start) / (end - start)) * PLOT.width
  const y = (value: number) => PLOT.top + PLOT.height * (1 - value / top)
  const unit = UNITS[panel.unit]
  const grid = [0, 0.5, 1].map(part => {
    const at = y(top * part)
    const line = `<line x1="${PLOT.left}" x2="${PLOT.left + PLOT.width}" y1="${at}" y2="${at}" stroke="#dddddd"/>`
    return `${line}<text x="${PLOT.left - 4}" y="${at + 4}" text-anchor="end" fill="#666666">${unit(top * part)}</text>`
  })
  const paths = shown.map(({ points }, at) => {
    const path = points.map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`)
    return `<polyline fill="none" stroke="${COLORS[at % COLORS.length] ?? ''}" stroke-width="1.5" points="${path.join(' ')}"/>`
  })
  const legend = shown.slice(0, 2 * LEGEND_LINES).map((line, at) => {
    const left = PLOT.left + (at % 2) * 165
    const below = PLOT.top + PLOT.height + 18 + Math.floor(at / 2) * 15
    const mark = `<rect x="${left}" y="${below - 8}" width="8" height="8" fill="${COLORS[at % COLORS.length] ?? ''}"/>`
    return `${mark}<text x="${left + 12}" y="${below}" fill="#333333" font-size="9.5">${escaped(line.name)}</text>`
  })
  const title = `<text x="${PLOT.left}" y="20" font-size="13" font-weight="bold" fill="#222222">${escaped(panel.title)}</text>`
  return [title, ...grid, ...paths, ...legend].join('')
}
