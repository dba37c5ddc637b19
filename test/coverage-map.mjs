/**
 * A unit test must cover every branch of the file it mirrors; tests that drive the built program in a
 * process of its own, or the simulator, vouch for no file's coverage. `npm test` runs them compiled,
 * from `.suite/`, where source maps lead back to the files that are covered, and those of a folder in
 * one process (test/entries.ts): together they must cover every branch of the folder.
 */
export default test => {
  const [, entry] = /^\.suite\/entries\/(.*)\.js$/.exec(test) ?? []
  if (entry !== undefined) return entry === 'alone' ? null : `src/${entry}{.ts,/*.ts}`
  return /^test\/(e2e|attack|deploy|simulator|fuzz|architecture|docs)/.test(test)
    ? null
    : test.replace(/^test/, 'src').replace(/\.test\.ts$/, '.ts')
}
