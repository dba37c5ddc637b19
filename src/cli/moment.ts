/**
 * Reads the moment that `--at` names.
 */
import { Usage } from './terminal.ts'

const ISO = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/

/**
 * @param text Seconds since 1970, or ISO 8601 with its zone; a date alone is its beginning in UTC.
 * @returns Seconds since 1970.
 * @throws {Usage}
 */
export function readMoment(text: string): number {
  const seconds = /^\d{1,11}(?:\.\d+)?$/.test(text) ? Number(text) : isoSeconds(text)
  if (Number.isFinite(seconds)) return seconds
  throw new Usage('--at must be a time such as 2026-11-20T09:00:00Z, or seconds since 1970')
}

function isoSeconds(text: string): number {
  return ISO.test(text) ? Date.parse(text) / 1000 : Number.NaN
}

/** As ISO 8601 in UTC, whole seconds; a number that no calendar has, as it is. */
export function showMoment(seconds: number): string {
  const date = new Date(Math.floor(seconds) * 1000)
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace('.000Z', 'Z')
}
