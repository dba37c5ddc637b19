/**
 * Shows a URL without what may be a secret in it.
 */
import { withoutCredentials } from '../config/readers.ts'

/** Without credentials, and without the query, in which access keys are passed. */
export function showUrl(url: string): string {
  return withoutCredentials(url).replace(/\?.*$/s, '?…')
}
