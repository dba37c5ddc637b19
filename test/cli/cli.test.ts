import t from 'tap'
import { run } from '../../src/cli/cli.ts'
import { HELP } from '../../src/cli/help.ts'
import { createTerminal } from '../fixtures/terminal.ts'
import { ARN, CLIENT, ISSUER } from '../fixtures/sidecar.ts'

const LEAST = { ALB_ARNS: ARN, ALB_CLIENT_IDS: CLIENT, OIDC_ISSUER: ISSUER }

t.test('each command ends with its code, and what is wrong goes to where errors go', async t => {
  const cases = [
    { args: ['--help'], code: 0, output: HELP },
    { args: ['-h'], code: 0, output: HELP },
    { args: ['check', '--help'], code: 0, output: HELP },
    { args: ['explain', 'path', '-h'], code: 0, output: HELP },
    { args: ['--version'], code: 0, output: '1.2.3\n' },
    { args: ['-v'], code: 0, output: '1.2.3\n' },
    { args: ['explain', 'path', '/a'], code: 0, output: /^guarded\n/ },
    {
      args: ['explain', '--', '-h', 'x'],
      code: 2,
      errors: /^explain takes one file\nsee alb-auth/,
    },
    { args: ['secret'], code: 2, errors: /^the commands are check and explain/ },
    { args: ['check', '--secret'], code: 2, errors: /^there is no such option here/ },
    { args: ['check', 'secret'], code: 2, errors: /^there is no such option here/ },
    { args: ['check', '--alb-idle', 'x'], code: 2, errors: /^--alb-idle must be a duration/ },
  ]
  for (const { args, code, output = '', errors = '' } of cases) {
    const terminal = createTerminal({ args, environment: LEAST })
    t.equal(await run(terminal), code, args.join(' '))
    if (typeof output === 'string') t.equal(terminal.output(), output)
    else t.match(terminal.output(), output)
    if (errors === '') t.equal(terminal.errors(), '')
    else t.match(terminal.errors(), errors)
    t.notMatch(terminal.output() + terminal.errors(), /secret/, 'no argument is repeated')
  }
})

t.test('explain needs a configuration, check says what is wrong with it', async t => {
  for (const [args, code] of [
    [['explain', 'path', '/a'], 78],
    [['check'], 1],
  ] as const) {
    const terminal = createTerminal({ args })
    t.equal(await run(terminal), code)
    t.match(terminal.errors(), /^configuration is not usable:\n {2}ALB_ARNS is required/)
    t.equal(terminal.output(), '')
  }
})

t.test('a bug is not taken for a misunderstanding', async t => {
  for (const fault of [
    new RangeError('ours'),
    new TypeError('ours'),
    Object.assign(new TypeError('ours'), { code: 1 }),
  ]) {
    const args = ['explain', '-']
    const readInput = () => Promise.reject(fault)
    await t.rejects(run(createTerminal({ args, environment: LEAST, readInput })), fault)
  }
})
