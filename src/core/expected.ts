/**
 * Tells an exception that was to be expected from a bug.
 */

/**
 * @returns `error`, if it is of that kind.
 * @throws `error` itself, if it is not.
 */
export function expected<T extends Error>(
  error: unknown,
  kind: abstract new (...args: never[]) => T,
): T {
  if (error instanceof kind) return error
  throw error
}
