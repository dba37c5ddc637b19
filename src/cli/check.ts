/**
 * `check`: the configuration in force, tried out, for a person or as JSON.
 */
import { parseArgs } from 'node:util'
import { ConfigFault, type LoadedConfig } from '../config/config.ts'
import { duration, Unreadable } from '../config/readers.ts'
import { ALB_IDLE_MS } from '../config/weaknesses.ts'
import { EXIT } from '../core/exit.ts'
import { expected } from '../core/expected.ts'
import type { Severity, Warning } from '../core/warning.ts'
import { rulesIn } from '../gate.ts'
import { warningAbout } from '../route/routes.ts'
import { weaknessesOf } from '../tls/pair.ts'
import { examplesFor, type RuleExamples } from './examples.ts'
import { createPaint } from './paint.ts'
import { shownSettings, type ShownSetting } from './shown-settings.ts'
import { Usage, type Terminal } from './terminal.ts'
import { runTrials, type Trial } from './trials.ts'

/** What `--json` prints. */
export interface Report {
  readonly version: string
  /** Whether nothing is wrong; warnings may be there all the same. */
  readonly isFine: boolean
  /** What makes the configuration unusable; if anything does, nothing else was looked at. */
  readonly faults: readonly string[]
  readonly settings: readonly ShownSetting[]
  readonly trials: readonly Trial[]
  readonly rules: readonly RuleExamples[]
  /** The gravest first. */
  readonly warnings: readonly Warning[]
}

/**
 * @param args Behind `check`.
 * @returns The exit code.
 * @throws {Usage}
 */
export async function check(
  args: readonly string[],
  load: () => LoadedConfig,
  terminal: Terminal,
): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { json: { type: 'boolean' }, 'alb-idle': { type: 'string' } },
  })
  const idle = values['alb-idle']
  const albIdleMs = idle === undefined ? ALB_IDLE_MS : readIdle(idle)
  const report = await createReport(load, albIdleMs, terminal)
  if (values.json === true) terminal.print(`${JSON.stringify(report, null, 2)}\n`)
  else tell(report, terminal)
  return report.isFine ? EXIT.fine : EXIT.refused
}

function readIdle(text: string): number {
  try {
    return duration('4000s')(text)
  } catch (error) {
    throw new Usage(`--alb-idle ${expected(error, Unreadable).message}`)
  }
}

async function createReport(
  load: () => LoadedConfig,
  albIdleMs: number,
  { version, clock }: Terminal,
): Promise<Report> {
  const loaded = tryLoad(load)
  if (loaded instanceof ConfigFault) {
    const nothing = { settings: [], trials: [], rules: [], warnings: [] }
    return { version, isFine: false, faults: loaded.faults, ...nothing }
  }
  const { config } = loaded
  const rules = rulesIn(config)
  const trials = await runTrials(config, { clock, albIdleMs })
  return {
    version,
    isFine: trials.every(({ outcome }) => outcome !== 'bad'),
    faults: [],
    settings: shownSettings(loaded),
    trials,
    rules: rules.map(examplesFor),
    warnings: ranked([
      ...loaded.warnings,
      ...rules.flatMap(rule => warningAbout(rule) ?? []),
      ...weaknessesIn(loaded, clock.wallSeconds()),
    ]),
  }
}

/** What is odd about the listener's certificate, if it has one from files. */
function weaknessesIn({ pair }: LoadedConfig, now: number): readonly Warning[] {
  const texts = pair === undefined ? [] : weaknessesOf(pair, now)
  return texts.map(text => ({ severity: 'note', text }))
}

function tryLoad(load: () => LoadedConfig): LoadedConfig | ConfigFault {
  try {
    return load()
  } catch (error) {
    return expected(error, ConfigFault)
  }
}

const GRAVEST_FIRST: readonly Severity[] = ['unsafe', 'risk', 'note']

function ranked(warnings: readonly Warning[]): readonly Warning[] {
  return GRAVEST_FIRST.flatMap(each => warnings.filter(({ severity }) => severity === each))
}

const SIGNS = { good: '✓', bad: '✗', odd: '!', unasked: '·' } as const

function tell(report: Report, { isScreen, environment, print, printError }: Terminal): void {
  const paint = createPaint(isScreen, environment)
  const paints = { good: paint.good, bad: paint.bad, odd: paint.odd, unasked: paint.faint }
  if (report.faults.length > 0) {
    printError(`${paint.bad(new ConfigFault(report.faults).message)}\n`)
    return
  }
  const head = (text: string) => {
    print(`\n${paint.strong(text)}\n`)
  }
  print(`${paint.strong('Settings')}\n`)
  for (const { variable, value, source } of report.settings) {
    const isSet = source !== 'default' && source !== 'not set'
    const line = `  ${variable.padEnd(26)} ${shorten(value)}(${source})`
    print(`${isSet ? line : paint.faint(line)}\n`)
  }
  head('Open paths')
  if (report.rules.length === 0) print('  none: every path is guarded\n')
  for (const { rule, opens, leaves } of report.rules) {
    print(`  ${rule}\n`)
    for (const example of opens) print(`      ${paint.odd('opens  ')} ${example}\n`)
    for (const example of leaves) print(`      ${paint.good('guards ')} ${example}\n`)
  }
  head('Trials')
  for (const { name, target, outcome, detail, ms } of report.trials) {
    const time = ms === undefined ? '' : paint.faint(` in ${ms} ms`)
    const what = target === '' ? '' : `${target}: `
    print(`  ${paints[outcome](SIGNS[outcome])} ${name.padEnd(18)} ${what}${detail}${time}\n`)
  }
  head('Warnings')
  if (report.warnings.length === 0) print('  none\n')
  for (const { severity, text } of report.warnings) {
    print(`  ${paint.odd(severity.padEnd(6))} ${text}\n`)
  }
  print(
    report.isFine
      ? `\n${paint.good('nothing is wrong')}\n`
      : `\n${paint.bad('something is wrong: see ✗')}\n`,
  )
}

function shorten(value: string): string {
  const line = value.replace(/\s+/g, ' ')
  const short = line.length > 120 ? `${line.slice(0, 120)}…` : line
  return short === '' ? '' : `${short} `
}
