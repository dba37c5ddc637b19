/**
 * What Kubernetes would refuse of the manifests in the files that are named: unknown fields and wrong
 * types, by the type maps of its JavaScript client; missing ones, by kubernetes-models. Needs Node 22 or
 * newer, and the two packages in `$TOOLS`. One line a fault, beginning with the file; exit 1 when there is any.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(`${process.env.TOOLS}/manifest-faults.js`)
const { parseAllDocuments } = require('yaml')
const client = require('@kubernetes/client-node')

const SCALARS = { string: 'string', number: 'number', boolean: 'boolean', Date: 'string' }

/** Faults of `value`, which should be a `type` as the client names it. */
function faultsOf(value, type, path) {
  const [, member] = /^Array<(.+)>$/.exec(type) ?? []
  if (member !== undefined) {
    if (!Array.isArray(value)) return [`${path}: not a list`]
    return value.flatMap((each, at) => faultsOf(each, member, `${path}[${at}]`))
  }
  const [, valueType] = /^\{ \[key: string\]: (.+); \}$/.exec(type) ?? []
  if (valueType !== undefined) {
    return Object.entries(value).flatMap(([key, each]) =>
      faultsOf(each, valueType, `${path}.${key}`),
    )
  }
  if (type === 'any' || type === 'object') return []
  if (type === 'IntOrString') {
    return ['string', 'number'].includes(typeof value) ? [] : [`${path}: neither text nor number`]
  }
  if (type in SCALARS) {
    return typeof value === SCALARS[type] ? [] : [`${path}: ${typeof value}, not ${type}`]
  }
  const map = client[type]?.getAttributeTypeMap?.()
  if (map === undefined) return [`${path}: no such type as ${type}`]
  if (value === null || typeof value !== 'object') return [`${path}: not an object`]
  return Object.entries(value).flatMap(([key, each]) => {
    const field = map.find(({ baseName }) => baseName === key)
    return field === undefined
      ? [`${path}.${key}: no such field`]
      : faultsOf(each, field.type, `${path}.${key}`)
  })
}

/** Faults by the compiled schema of the kind; every kind must have one. */
async function missingIn(manifest) {
  const { apiVersion, kind } = manifest
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion]
  const [name, folder] = group.endsWith('.coreos.com')
    ? ['@kubernetes-models/prometheus-operator', `${group}/${version}`]
    : ['kubernetes-models', group === '' ? version : `${group}/${version}`]
  const file = `${process.env.TOOLS}/node_modules/${name}/${folder}/${kind}.js`
  const model = (await import(pathToFileURL(file)))[kind]
  try {
    new model(manifest).validate()
    return []
  } catch (error) {
    return [`${kind}: ${error.message}`]
  }
}

/** Faults of all that one file holds. */
async function faultsIn(file) {
  const manifests = parseAllDocuments(readFileSync(file, 'utf8')).map(document => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })
  const found = []
  for (const manifest of manifests.filter(each => each !== null)) {
    const { apiVersion, kind } = manifest
    if (!apiVersion.endsWith('.coreos.com/v1')) found.push(...faultsOf(manifest, `V1${kind}`, kind))
    found.push(...(await missingIn(manifest)))
  }
  return found.map(fault => `${file}: ${fault.replaceAll('\n', ' ')}`)
}

const found = []
for (const file of process.argv.slice(2)) found.push(...(await faultsIn(file)))
for (const fault of found) console.log(fault)
process.exitCode = found.length > 0 ? 1 : 0
