import t from 'tap'
import { explainPath } from '../../src/cli/explain-path.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createGate } from '../../src/gate.ts'
import { createTerminal } from '../fixtures/terminal.ts'
import { recordEvents } from '../fixtures/events.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

async function say(words: readonly string[], rules: string, isJson = false): Promise<string> {
  const { config } = loadConfig({
    ...{ ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER, NOAUTH_PATHS: rules },
  })
  const terminal = createTerminal()
  const { steps } = await createGate(config, { clock: terminal.clock, telemetry: recordEvents() })
  explainPath(words, config, steps, terminal, isJson)
  return terminal.output()
}

t.test('a path is open or guarded, and it is said why', async t => {
  const rules = 'POST|PUT /hook, /open/*, /Docs, /slash/'
  const cases = [
    { words: ['/open/a'], says: "open, by the rule '/open/*'\n" },
    { words: ['PUT', '/hook'], says: "open, by the rule 'POST|PUT /hook'\n" },
    { words: ['/hook?x'], says: "'POST|PUT /hook' is for POST and PUT only\n" },
    { words: ['GET', '/docs'], says: "'/Docs' differs in capital and small letters, which count" },
    { words: ['/slash'], says: "'/slash/' differs by the slash at the end" },
    { words: ['/Docs/'], says: "'/Docs' differs by the slash at the end" },
    { words: ['/open/../x'], says: 'guarded\n  no rule can open it: it has a . or .. segment\n' },
    { words: ['/x'], says: 'guarded\n  none of the 4 open rules matches\n' },
    { words: ['x'], says: 'refused before it is judged: malformed_request (request target)\n' },
    { words: ['TRACE', '/'], says: 'refused before it is judged: method_refused (TRACE)\n' },
  ]
  for (const { words, says } of cases) {
    const said = await say(words, rules)
    t.ok(said.includes(says), `${words.join(' ')}: ${said}`)
  }
  t.match(await say(['/x'], ''), 'guarded\n  there is no open rule')
  for (const words of [[], ['GET', '/', 'x']]) {
    await t.rejects(say(words, rules), { message: /^explain path takes/ })
  }
})

t.test('a program is told the same', async t => {
  const cases = [
    { words: ['/open/a'], kind: 'open', why: [] },
    { words: ['/x'], kind: 'guarded', why: ['none of the 1 open rules matches'] },
    { words: ['TRACE', '/'], kind: 'refused', why: [] },
  ]
  for (const { words, kind, why } of cases) {
    const told: unknown = JSON.parse(await say(words, '/open/*', true))
    const [target, method = 'GET'] = words.toReversed()
    t.match(told, { version: '1.2.3', method, target, kind, why }, words.join(' '))
  }
})
