/**
 * A unit test must cover every branch of the file it mirrors; tests that drive the built program in a
 * process of its own, or the simulator, vouch for no file's coverage. `npm test` runs them compiled,
 * from `.suite/`, where source maps lead back to the files that are covered, and those of a folder in
 * one process (test/folders.ts): they must cover every branch of the folder.
 */
export default test => {
  const [, folder] = /^\.suite\/folders\/(.*)\.js$/.exec(test) ?? []
  if (folder !== undefined) return `src/${folder}/*.ts`
  const file = test.replace(/^\.suite\/(.*)\.js$/, '$1.ts')
  return /^test\/(e2e|attack|deploy|simulator|fuzz|architecture|docs)/.test(file)
    ? null
    : file.replace(/^test/, 'src').replace(/\.test\.ts$/, '.ts')
}
