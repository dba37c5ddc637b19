/**
 * A unit test must cover every branch of the file it mirrors; tests that drive the built program
 * in a process of its own vouch for no one file's coverage.
 */
export default test =>
  /^test\/(e2e|attack|architecture|docs)/.test(test)
    ? null
    : test.replace(/^test/, 'src').replace(/\.test\.ts$/, '.ts')
