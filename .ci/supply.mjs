/**
 * Holds the lock file and the bill of materials to what we say of them: exact versions, a hash for every
 * package, no registry's address, no install script, licences that go with ours, and every production
 * dependency named.
 */
import { readFileSync } from 'node:fs'

const read = file => JSON.parse(readFileSync(file, 'utf8'))
const manifest = read('package.json')
const { lockfileVersion, packages } = read('package-lock.json')
const faults = []
const hold = (holds, fault) => {
  if (!holds) faults.push(fault)
}

hold(lockfileVersion === 3, 'package-lock.json is not of version 3')
hold(
  /^ignore-scripts=true$/m.test(readFileSync('.npmrc', 'utf8')),
  '.npmrc lets install scripts run',
)
for (const [name, version] of Object.entries({
  ...manifest.dependencies,
  ...manifest.devDependencies,
})) {
  hold(/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version), `${name} ${version} is not one exact version`)
}
const LICENCES =
  /^(MIT|ISC|Apache-2\.0|BSD-[23]-Clause|0BSD|BlueOak-1\.0\.0|Unlicense|\(MIT OR .*\))$/
for (const [path, entry] of Object.entries(packages)) {
  if (path === '') continue
  hold(/^sha512-[\w+/]+=*$/.test(entry.integrity ?? ''), `${path} has no sha512`)
  hold(entry.resolved === undefined, `${path} names where it was fetched from`)
  hold(entry.link === undefined, `${path} is a link`)
  if (entry.dev || entry.devOptional || entry.optional) continue
  hold(entry.hasInstallScript === undefined, `${path} wants to run a script when it is installed`)
  hold(LICENCES.test(entry.license ?? ''), `${path} has the licence ${entry.license}`)
}
const named = new Set(
  read(process.argv[2]).components.map(({ name, version }) => `${name}@${version}`),
)
for (const [name, version] of Object.entries(manifest.dependencies)) {
  hold(named.has(`${name}@${version}`), `the bill of materials does not name ${name}@${version}`)
}
for (const fault of faults) console.error(fault)
console.log(`${named.size} components, ${faults.length} faults`)
process.exit(faults.length > 0 ? 1 : 0)
