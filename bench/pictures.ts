/** Curves as one SVG picture, with echarts, which needs no browser for it. */

import { type EChartsOption, init } from 'echarts'
import type { Curve } from './curves.ts'

const COLUMNS = 2
const WIDTH = 1_000
const PANEL_HEIGHT = 300
/** Around the plot of a panel, for its title and the names of its axes. */
const MARGIN = { left: 80, right: 30, top: 60, bottom: 60 }
const COLOURS = ['#1f6feb', '#d1622b']
const TEXT = { color: '#24292f', fontFamily: 'sans-serif', fontSize: 12 }

/** 12, 1.5k, 10M, 1G. */
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })
const short = (value: number): string => SHORT.format(value)

/** The power of ten where an axis ends; what is hardly beyond it is drawn beyond it. */
function wholeDecade(series: Curve['series']): number {
  const largest = Math.max(...series.flatMap(({ points }) => points.map(({ x }) => x)))
  return 10 ** Math.ceil(Math.log10(largest) - 0.1)
}

export function draw(curves: readonly Curve[]): string {
  const height = PANEL_HEIGHT * Math.ceil(curves.length / COLUMNS)
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height })
  chart.setOption(optionOf(curves))
  const svg = chart.renderToSVGString()
  chart.dispose()
  return `${svg}\n`
}

function optionOf(curves: readonly Curve[]): EChartsOption {
  const width = WIDTH / COLUMNS
  const corner = (i: number) => ({
    left: (i % COLUMNS) * width,
    top: Math.floor(i / COLUMNS) * PANEL_HEIGHT,
  })
  const axis = { axisLabel: { ...TEXT, formatter: short }, nameTextStyle: TEXT }
  const centred = { nameLocation: 'middle' } as const
  return {
    ...{ animation: false, backgroundColor: '#ffffff', textStyle: TEXT, color: COLOURS },
    title: curves.map(({ title, series }, i) => ({
      text: title,
      subtext:
        series.map(({ name }) => name).join(' (blue), ') + (series.length > 1 ? ' (orange)' : ''),
      left: corner(i).left + MARGIN.left,
      top: corner(i).top + 8,
      itemGap: 4,
      textStyle: { ...TEXT, fontSize: 14, fontWeight: 'bold' as const },
      subtextStyle: TEXT,
    })),
    grid: curves.map((_, i) => ({
      left: corner(i).left + MARGIN.left,
      top: corner(i).top + MARGIN.top,
      width: width - MARGIN.left - MARGIN.right,
      height: PANEL_HEIGHT - MARGIN.top - MARGIN.bottom,
    })),
    xAxis: curves.map(({ x, scale, series }, gridIndex) => {
      const common = { gridIndex, name: x, nameGap: 30, ...axis, ...centred }
      if (scale === 'bars') {
        const data = series[0]?.points.map(point => String(point.x)) ?? []
        return { ...common, axisLabel: TEXT, type: 'category' as const, data }
      }
      if (scale === 'linear') return { ...common, type: 'value' as const }
      return { ...common, type: 'log' as const, max: wholeDecade(series) }
    }),
    yAxis: curves.map(({ y, isSteep = false }, gridIndex) => ({
      ...{ gridIndex, name: y, nameGap: 50, ...axis, ...centred },
      ...(isSteep ? { type: 'log' as const } : { type: 'value' as const, min: 0 }),
    })),
    series: curves.flatMap(({ scale, series }, i) =>
      series.map(({ name, points }, n) => ({
        ...{ name, xAxisIndex: i, yAxisIndex: i, itemStyle: { color: COLOURS[n] ?? 'black' } },
        ...(scale === 'bars'
          ? { type: 'bar' as const, barWidth: 60, data: points.map(point => point.median) }
          : {
              type: 'line' as const,
              symbolSize: 6,
              clip: false,
              data: points.map(p => [p.x, p.median]),
            }),
      })),
    ),
  }
}
