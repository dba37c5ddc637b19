/**
 * What others have collected: the probes of Http11Probe and the requests of llhttp's own tests, as they
 * are, and with what lets a request through here.
 */
import { readFileSync } from 'node:fs'
import { SMUGGLED, type Attack, type Credentials } from './attack.ts'

interface Probe {
  readonly id?: string
  readonly file?: string
  readonly payloads?: readonly string[]
  readonly payload?: string
}

/** @param folder Holds `http11probe.json` and `llhttp-requests.json`. */
export function corpora(folder: string, { token }: Credentials): Attack[] {
  return ['http11probe.json', 'llhttp-requests.json'].flatMap(file => {
    const probes = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as readonly Probe[]
    return probes.flatMap(({ id, file: from, payloads = [], payload }, at) => {
      const all = payload === undefined ? payloads : [payload]
      const pieces = all.map(each => Buffer.from(each, 'base64').toString('latin1'))
      const name = `${id ?? from ?? file} ${at}`
      return [
        { family: 'corpus', name, pieces },
        {
          family: 'corpus',
          name: `${name}, let in`,
          pieces: pieces.map(each => letIn(each, token)),
        },
        { family: 'corpus', name: `${name}, and one behind it`, pieces: [...pieces, SMUGGLED] },
      ]
    })
  })
}

/** With a host and a token behind the request line, on an open path where it asked for the root. */
function letIn(bytes: string, token: string): string {
  const hosts = bytes.includes('HOSTHDR') ? bytes.replaceAll('HOSTHDR', 'a') : bytes
  return hosts
    .replace(/^([A-Z]+) \/ /, '$1 /open/a ')
    .replace(
      /\r\n/,
      `\r\nX-Amzn-Oidc-Data: ${token}\r\n${/^host *:/im.test(hosts) ? '' : 'Host: a\r\n'}`,
    )
}
