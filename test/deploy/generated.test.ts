/**
 * What is generated from the code is what the code generates; `npm run docs` writes it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import t from 'tap'
import { dashboard } from '../../scripts/dashboard.ts'
import { settingsDefaults } from '../../scripts/settings-schema.ts'
import { valuesSchema } from '../../scripts/values-schema.ts'

const isWriting = process.env['WRITE_DOCS'] === '1'

const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`
const copyOf = (file: string) => () => readFileSync(file, 'utf8')

/** The containers as a module takes them: their images, settings and logs are its own. */
function containersOf(file: string): object[] {
  const { containerDefinitions } = JSON.parse(readFileSync(file, 'utf8')) as {
    containerDefinitions: Readonly<Record<string, unknown>>[]
  }
  const own = new Set(['image', 'environment', 'logConfiguration'])
  return containerDefinitions.map(container =>
    Object.fromEntries(Object.entries(container).filter(([key]) => !own.has(key))),
  )
}

const CHART = 'helm/alb-auth-sidecar'
const GENERATED: Readonly<Record<string, () => string>> = {
  'deploy/grafana/dashboard.json': () => json(dashboard()),
  [`${CHART}/values.schema.json`]: () => json(valuesSchema()),
  [`${CHART}/files/defaults.json`]: () => json(settingsDefaults()),
  // A chart can only read what lies within it.
  [`${CHART}/files/dashboard.json`]: () => json(dashboard()),
  [`${CHART}/files/rules.yaml`]: copyOf('deploy/prometheus/rules.yaml'),
  // So can a module of Terraform.
  'deploy/terraform/containers.json': () => json(containersOf('deploy/ecs/task-definition.json')),
}

for (const [file, content] of Object.entries(GENERATED)) {
  t.test(`${file} is up to date`, t => {
    if (isWriting) {
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, content())
    }
    t.equal(readFileSync(file, 'utf8'), content(), 'run npm run docs')
    t.end()
  })
}
