import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { keyDirectory } from '../../src/config/key-directory.ts'
import { Unreadable } from '../../src/config/readers.ts'

const KID = '0A3C1E5F-7b2d-4c6e-8f90-a1b2c3d4e5f6'
const OTHER = 'ffffffff-7b2d-4c6e-8f90-a1b2c3d4e5f6'

const pair = (namedCurve = 'P-256') => generateKeyPairSync('ec', { namedCurve })
const pem = (namedCurve?: string) =>
  pair(namedCurve).publicKey.export({ format: 'pem', type: 'spki' }).toString()

/** A directory with these files, until the test is over. */
function makeDirectory(t: Test, files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'keys-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true })
  })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

/** What is wrong with a directory. */
function refusalOf(directory: string): string {
  try {
    return `nothing, but ${keyDirectory(directory).size} keys`
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    return error.message
  }
}

t.test('each .pem file is a key, by its name in lower case; other files are left alone', t => {
  const [one, two] = [pem(), pem()]
  const directory = makeDirectory(t, {
    [`${KID}.pem`]: one,
    [`${OTHER}.pem`]: two.replaceAll('\n', '\r\n'),
    'README.txt': 'not a key',
    'key.pem.bak': 'not a key',
    pem: 'not a key',
  })
  const keys = keyDirectory(directory)
  const texts = [...keys].map(([kid, key]) => [kid, key.export({ format: 'pem', type: 'spki' })])
  t.same(Object.fromEntries(texts), { [KID.toLowerCase()]: one, [OTHER]: two })
  t.end()
})

t.test('a directory without keys holds none', t => {
  t.equal(keyDirectory(makeDirectory(t, {})).size, 0)
  t.end()
})

t.test('whatever is wrong with one file is wrong with the setting', t => {
  const privateKey = pair().privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  const cases = [
    { file: 'empty', text: '', refusal: 'is not one PEM public key' },
    { file: 'private', text: privateKey, refusal: 'is not one PEM public key' },
    { file: 'double', text: pem() + pem(), refusal: 'is not one PEM public key' },
    { file: 'P-384', text: pem('P-384'), refusal: 'is not a P-256 key' },
    {
      file: 'broken',
      text: pem().replace(/\n.{8}/, '\nAAAAAAAA'),
      refusal: 'is not a P-256 key',
    },
  ]
  for (const { file, text, refusal } of cases) {
    const directory = makeDirectory(t, { [`${KID}.pem`]: pem(), [`${OTHER}.pem`]: text })
    t.equal(refusalOf(directory), `has ${OTHER}.pem, which ${refusal}`, file)
  }
  for (const name of ['key.pem', `${KID}0.pem`, `a${KID}.pem`, `${KID}.pem.pem`, '.pem']) {
    t.equal(
      refusalOf(makeDirectory(t, { [name]: pem() })),
      `has ${name}, which must be named <kid>.pem: the kid is a UUID`,
    )
  }
  t.end()
})

t.test('what cannot be read is named with the reason', t => {
  const directory = makeDirectory(t, { file: '' })
  mkdirSync(join(directory, `${KID}.pem`))
  const cases = [
    { path: join(directory, 'nowhere'), refusal: /^cannot be read: .*nowhere: ENOENT/ },
    { path: join(directory, 'file'), refusal: /^cannot be read: .*file: ENOTDIR/ },
    { path: directory, refusal: /^cannot be read: .*f6\.pem: EISDIR/ },
  ]
  for (const { path, refusal } of cases) {
    t.match(refusalOf(path), refusal, path)
  }
  t.end()
})
