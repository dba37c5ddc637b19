/**
 * An explanation for a program: the parts of the page as data, in the same order.
 */
import { EXIT } from '../core/exit.ts'
import { REASONS } from '../core/reasons.ts'
import type { Mark, Page, Part, ShownVerdict } from './page.ts'
import { shownCheck, type ShownCheck } from './shown-check.ts'

export interface RecordedPart {
  readonly part: Part
  readonly notes: { readonly mark: Mark; readonly text: string }[]
  readonly checks: ShownCheck[]
}

/** What `--json` prints, beside the version and whether the request would go on. */
export interface Explanation {
  readonly notes: readonly string[]
  readonly parts: readonly RecordedPart[]
  /** Absent when nothing was decided. */
  readonly verdict?: ShownVerdict
}

export interface RecordedPage extends Page {
  readonly explanation: () => Explanation
}

export function createRecord(): RecordedPage {
  const said: string[] = []
  const parts: RecordedPart[] = []
  let shown: ShownVerdict | undefined
  const page: RecordedPage = {
    say: text => {
      said.push(text.replace(/\s+/g, ' ').trim())
    },
    head: part => {
      parts.push({ part, notes: [], checks: [] })
    },
    mark: (mark, text) => {
      parts.at(-1)?.notes.push({ mark, text })
    },
    steps: (steps, refusal, evidence) => {
      parts.at(-1)?.checks.push(...steps.map(step => shownCheck(step, refusal, evidence)))
    },
    refused: ({ reason, source, detail }) => {
      page.verdict({
        ...{ outcome: 'rejected', status: REASONS[reason].status, reason },
        ...(source !== undefined && { source }),
        ...(detail !== undefined && { detail }),
      })
      return EXIT.refused
    },
    verdict: verdict => {
      shown = verdict
    },
    explanation: () => ({ notes: said, parts, ...(shown !== undefined && { verdict: shown }) }),
  }
  return page
}
