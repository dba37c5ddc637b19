/**
 * Lays out an explanation for a person: headings, marks, and for a check that failed what was expected
 * and found.
 */
import { EXIT } from '../core/exit.ts'
import { REASONS, type Reason } from '../core/reasons.ts'
import type { Rejected, SourceName } from '../core/verdict.ts'
import type { Evidence } from './evidence.ts'
import type { Paint } from './paint.ts'
import { shownCheck, type ShownCheck } from './shown-check.ts'
import type { Step } from './walk.ts'

export type Mark = 'good' | 'bad' | 'odd' | 'note'

/** What a heading is about. */
export type Part = 'request' | 'alb' | 'access_token' | 'identity' | 'verdict'

/** A verdict as it may be shown. */
export type ShownVerdict =
  | {
      readonly outcome: 'authenticated'
      readonly user: string
      readonly email?: string
      readonly groups: readonly string[]
      /** As `showMoment` has it. */
      readonly expiresAt: string
      /** What it would have been refused for. */
      readonly forgiven?: Reason
    }
  | { readonly outcome: 'anonymous'; readonly forgiven?: Reason }
  /** Of an access token that was looked at alone. */
  | { readonly outcome: 'valid' }
  | {
      readonly outcome: 'rejected'
      readonly status: number
      readonly reason: Reason
      readonly source?: SourceName
      readonly detail?: string
    }

export interface Page {
  readonly say: (text: string) => void
  readonly head: (part: Part, text: string) => void
  readonly mark: (mark: Mark, text: string) => void
  /** @param refusal Of the step that failed. */
  readonly steps: (
    steps: readonly Step[],
    refusal: Rejected | undefined,
    evidence: Evidence,
  ) => void
  /** Says why and with which status; returns the exit code. */
  readonly refused: (refusal: Rejected) => number
  /** The verdict as data, once; what a person reads of it are the marks. */
  readonly verdict: (verdict: ShownVerdict) => void
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
    head: (_, text) => {
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
      for (const step of steps) tell(shownCheck(step, refusal, evidence))
    },
    refused: ({ reason }) => {
      const { status, meaning } = REASONS[reason]
      page.mark('bad', `${status} ${reason}: ${meaning}`)
      return EXIT.refused
    },
    verdict: () => undefined,
  }
  return page

  function tell(shown: ShownCheck): void {
    const { states, fate, found = '' } = shown
    const line = (text: string) => `${states.padEnd(WIDTH)} ${paint.faint(text)}`
    switch (fate) {
      case 'not reached':
        page.mark('note', paint.faint(`${states.padEnd(WIDTH)} not reached`))
        return
      case 'unasked':
        page.mark('note', line('not asked for'))
        return
      case 'held':
        page.mark('good', line(found))
        return
      case 'failed':
        tellFailed(shown)
    }
  }

  function tellFailed({ states, reason, variables, ...shown }: ShownCheck): void {
    const rows = [
      ['expected', shown.expected],
      ['found', shown.found],
      ['said', shown.detail],
      ['set by', variables.length === 0 ? 'nothing: it always holds' : variables.join(', ')],
      ['advice', shown.advice],
    ] as const
    page.mark('bad', `${states}: ${String(reason)}`)
    for (const [name, text] of rows) {
      if (text !== undefined) page.say(`      ${paint.faint(name.padEnd(9))} ${text}`)
    }
  }
}
