import t from 'tap'
import { examplesFor } from '../../src/cli/examples.ts'
import { createRoutes, type Rule } from '../../src/route/routes.ts'
import { rulesOf } from '../../src/route/presets.ts'
import { parseRule } from '../../src/route/rules.ts'

const rule = (text: string) => parseRule(text) as Rule

t.test('an example is what the routes say it is', t => {
  const rules = [
    ...['/', '*', '/*', '/a', '/a/', '/a/*', '/a*', '/?', '*.css', 'GET /a', 'POST|PUT /a/*'].map(
      rule,
    ),
    ...rulesOf('consoleme-weep'),
  ]
  for (const each of rules) {
    const decide = createRoutes([each])
    const { rule: text, opens, leaves } = examplesFor(each)
    t.equal(text, each.text)
    t.ok(opens.length > 0 && opens.length <= 3, `${text} opens ${opens.join(', ')}`)
    t.ok(leaves.length <= 3, `${text} leaves ${leaves.join(', ')}`)
    const kindOf = (example: string) => {
      const [method = '', path = ''] = example.split(' ')
      return decide(method, path).kind
    }
    for (const example of opens) t.equal(kindOf(example), 'open', example)
    for (const example of leaves) t.equal(kindOf(example), 'guarded', example)
  }
  t.match(examplesFor(rule('/a/*')).leaves[0], 'GET /a/../x (it has a . or .. segment)')
  t.equal(examplesFor(rule('GET /a')).leaves[0], 'POST /a')
  t.same(
    examplesFor({ text: 'x', methods: new Set(), pattern: '//' }).opens,
    [],
    'cannot be opened',
  )
  t.end()
})
