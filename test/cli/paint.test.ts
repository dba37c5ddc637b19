import t from 'tap'
import { createPaint } from '../../src/cli/paint.ts'

t.test('colours are for a screen whose owner did not refuse them', t => {
  const cases = [
    { isScreen: true, environment: {}, coloured: true },
    { isScreen: true, environment: { NO_COLOR: '' }, coloured: true },
    { isScreen: true, environment: { NO_COLOR: '1' }, coloured: false },
    { isScreen: true, environment: { TERM: 'dumb' }, coloured: false },
    { isScreen: false, environment: {}, coloured: false },
  ]
  for (const { isScreen, environment, coloured } of cases) {
    const paint = createPaint(isScreen, environment)
    for (const each of Object.values(paint) as ((text: string) => string)[]) {
      t.equal(each('x') !== 'x', coloured, JSON.stringify({ isScreen, environment }))
      t.match(each('x'), 'x')
    }
  }
  t.end()
})
