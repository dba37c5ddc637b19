/**
 * Whether a person looks at what comes back: they get a page, and may be sent to sign in; a program
 * gets a status and a problem document.
 */
import { valuesOf, type HeaderList } from './headers.ts'

/** By Fetch Metadata where a browser sends it, else by what the client says it would accept. */
export function isNavigation(headers: HeaderList): boolean {
  const [mode] = valuesOf(headers, 'sec-fetch-mode')
  if (mode !== undefined) return mode === 'navigate'
  return valuesOf(headers, 'accept').some(accept => accept.toLowerCase().includes('text/html'))
}
