/**
 * Whoever is woken finds what to do: each alert has its runbook, and says where.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'

t.test('an alert for every runbook, a runbook for every alert', t => {
  const rules = readFileSync('deploy/prometheus/rules.yaml', 'utf8')
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name).sort()
  const runbooks = readFileSync('docs/runbooks.md', 'utf8')
  const headings = [...runbooks.matchAll(/^## (AlbAuth\w+)$/gm)].map(([, name]) => name).sort()
  t.same(headings, alerts)
  const links = [...rules.matchAll(/runbook_url: docs\/runbooks\.md#(\w+)/g)].map(
    ([, link]) => link,
  )
  t.same(links.sort(), alerts.map(name => name?.toLowerCase()).sort())
  t.end()
})
