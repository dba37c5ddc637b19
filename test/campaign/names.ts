/**
 * Headers that only we may write, in the spellings that CGI, WSGI, PHP and others read as the same.
 *
 * @see oauth2-proxy CVE-2025-64484; RFC 3875 §4.1.18
 */
import { lines } from '../fixtures/raw.ts'
import { guardedHead, openHead, type Attack, type Credentials } from './attack.ts'
import type { Dice } from './dice.ts'

const OWNED = [
  ...['x-forwarded-user', 'x-forwarded-email', 'x-forwarded-groups', 'x-amzn-oidc-identity'],
  ...['x-amzn-oidc-accesstoken', 'x-amzn-oidc-invented', 'x-client-ip'],
]
const SEPARATORS = ['-', '_', '.', '~', '+', "'", '*', '|', '!', '^', '`', '$', '%', '&', '#']
const AROUND = [' ', '\t', '\0', '_', '-', '.', '\x7f', '\xa0']

export function names(credentials: Credentials, dice: Dice, count: number): Attack[] {
  const spell = () => {
    const words = dice.pick(OWNED).split('-')
    const cased = words.map(word => {
      return word.replace(/[a-z]/g, each => (dice.once(3) ? each.toUpperCase() : each))
    })
    const joined = cased.reduce((name, word) => `${name}${dice.pick(SEPARATORS)}${word}`)
    const around = () => (dice.once(12) ? dice.pick(AROUND) : '')
    return `${around()}${joined}${around()}`
  }
  return Array.from({ length: count }, (_, at) => {
    const method = dice.pick(['GET', 'POST', 'HEAD', 'OPTIONS'])
    const head = dice.once(2) ? openHead(method) : guardedHead(method, credentials)
    const forged = Array.from({ length: 1 + dice.roll(6) }, () => `${spell()}: mallory`)
    const listed = dice.once(3)
      ? [`Connection: ${forged.map(each => each.split(':')[0]).join()}`]
      : []
    return {
      family: 'name',
      name: `${at}: ${JSON.stringify(forged)}`,
      pieces: [lines(...head, ...forged, ...listed)],
    }
  })
}
