/**
 * Lays out an explanation: headings, marks, and for a check that failed what was expected and found.
 */
import { CHECKS } from '../core/checks.ts'
import { REASONS } from '../core/reasons.ts'
import type { Rejected } from '../core/verdict.ts'
import { adviceOn } from './advice.ts'
import { evidenceFor, type Evidence } from './evidence.ts'
import type { Paint } from './paint.ts'
import { EXIT } from './terminal.ts'
import type { Step } from './walk.ts'

type Mark = 'good' | 'bad' | 'odd' | 'note'

export interface Page {
  readonly say: (text: string) => void
  readonly head: (text: string) => void
  readonly mark: (mark: Mark, text: string) => void
  /** @param refusal Of the step that failed. */
  readonly steps: (
    steps: readonly Step[],
    refusal: Rejected | undefined,
    evidence: Evidence,
  ) => void
  /** Says why and with which status; returns the exit code. */
  readonly refused: (refusal: Rejected) => number
}

/** Wide enough for every statement of the table. */
const WIDTH = 40
const SIGNS = { good: '✓', bad: '✗', odd: '!', note: '·' } as const

export function createPage(print: (text: string) => void, paint: Paint): Page {
  const paints = { good: paint.good, bad: paint.bad, odd: paint.odd, note: paint.faint }
  const page: Page = {
    say: text => {
      print(`${text}\n`)
    },
    head: text => {
      print(`\n${paint.strong(text)}\n`)
    },
    mark: (mark, text) => {
      print(`  ${paints[mark](SIGNS[mark])} ${text}\n`)
    },
    steps: (steps, refusal, evidence) => {
      if (steps.every(({ fate }) => fate === 'not reached')) {
        page.mark('note', paint.faint('not reached'))
        return
      }
      for (const step of steps) {
        if (step.fate === 'failed' && refusal !== undefined) failed(step, refusal, evidence)
        else passed(step, evidence)
      }
    },
    refused: ({ reason }) => {
      const { status, meaning } = REASONS[reason]
      page.mark('bad', `${status} ${reason}: ${meaning}`)
      return EXIT.refused
    },
  }
  return page

  function passed({ check, fate }: Step, evidence: Evidence): void {
    const { states } = CHECKS[check]
    if (fate === 'not reached') {
      page.mark('note', paint.faint(`${states.padEnd(WIDTH)} not reached`))
      return
    }
    const { found, isUnasked } = evidenceFor(check, evidence)
    const line = `${states.padEnd(WIDTH)} ${paint.faint(isUnasked === true ? 'not asked for' : found)}`
    page.mark(isUnasked === true ? 'note' : 'good', line)
  }

  function failed({ check }: Step, { reason, detail }: Rejected, evidence: Evidence): void {
    const { states, variables } = CHECKS[check]
    const { expected, found } = evidenceFor(check, evidence)
    const advice = adviceOn(check, reason, evidence)
    const rows = [
      ['expected', expected],
      ['found', found],
      ['said', detail],
      ['set by', variables.length === 0 ? 'nothing: it always holds' : variables.join(', ')],
      ['advice', advice],
    ] as const
    page.mark('bad', `${states}: ${reason}`)
    for (const [name, text] of rows) {
      if (text !== undefined) page.say(`      ${paint.faint(name.padEnd(9))} ${text}`)
    }
  }
}
