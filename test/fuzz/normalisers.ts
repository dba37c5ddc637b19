/**
 * How applications read a path, as differently as they do: if one of them is led out of an open prefix,
 * the path must not be open. None of them shares a line with src/route/path.ts.
 */
import { posix } from 'node:path'

type Normaliser = (path: string) => string

/** Decodes what can be decoded and leaves the rest, as most servers do. */
const decoded = (path: string): string =>
  path.replace(/(?:%[0-9a-f]{2})+/gi, run => {
    const bytes = Buffer.from(run.replaceAll('%', ''), 'hex')
    return bytes.toString('utf8').includes('\ufffd') ? bytes.toString('latin1') : bytes.toString()
  })

/** What is behind a `;` in a segment is a parameter to Tomcat and Jetty, and they take it out first. */
const withoutParameters = (path: string): string => path.replace(/;[^/]*/g, '')

export const NORMALISERS: Readonly<Record<string, Normaliser>> = {
  'WHATWG URL': path => new URL(`http://a${path}`).pathname,
  'decoded once': path => posix.normalize(decoded(path)),
  'decoded twice': path => posix.normalize(decoded(decoded(path))),
  'without parameters': path => posix.normalize(withoutParameters(decoded(path))),
  'parameters first': path => posix.normalize(decoded(withoutParameters(path))),
  'with backslashes': path => posix.normalize(decoded(path).replaceAll('\\', '/')),
  'up to a NUL': path => posix.normalize(decoded(path).split('\0')[0] ?? ''),
}

/** The normalisers that are led out of `prefix`, by name. */
export function ledOut(path: string, prefix: string): string[] {
  return Object.entries(NORMALISERS)
    .filter(([, normalise]) => !normalise(path).startsWith(prefix))
    .map(([name]) => name)
}
