import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { parseCertificates } from '../../src/tls/certificates.ts'
import { createAuthority } from '../fixtures/certificates.ts'

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
const [one, two] = await Promise.all([createAuthority(), createAuthority()])

t.test('every certificate of a file is read, in its order, and nothing else of it', t => {
  const bundle = `# a comment\n${one.certificate}\n${key}subject=CN=two\n${two.certificate}`
  for (const text of [bundle, bundle.replaceAll('\n', '\r\n')]) {
    const found = parseCertificates(text)
    t.same(
      typeof found === 'string' ? found : found.map(each => each.toString()),
      [one.certificate, two.certificate].map(pem => `${pem.trim()}\n`),
    )
  }
  t.end()
})

t.test('a file that is not whole is not taken in part', t => {
  const none = 'holds no PEM certificate'
  const broken = 'holds a certificate that cannot be read'
  const cases = [
    { file: 'nothing', text: '', fault: none },
    { file: 'a key', text: key, fault: none },
    { file: 'half a first certificate', text: one.certificate.slice(0, 200), fault: broken },
    {
      file: 'half a second one',
      text: one.certificate + two.certificate.slice(0, 200),
      fault: broken,
    },
    {
      file: 'a block that is cut short by the next',
      text: one.certificate.slice(0, 200) + two.certificate,
      fault: broken,
    },
    {
      file: 'a block of something else',
      text: key.replaceAll('PRIVATE KEY', 'CERTIFICATE'),
      fault: broken,
    },
    {
      file: 'a sound one and a block of something else',
      text: one.certificate + key.replaceAll('PRIVATE KEY', 'CERTIFICATE'),
      fault: broken,
    },
  ]
  for (const { file, text, fault } of cases) t.equal(parseCertificates(text), fault, file)
  t.end()
})
