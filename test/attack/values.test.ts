/**
 * What can be in the value of a header: every character in the claim that becomes one, one name's
 * separator in another's name, and what a client puts into the value of a header that is ours
 * (THREATS T-38, T-39, T-40, T-41; liboauth2 a38e159). Further rows are in headers.test.ts.
 */
import t from 'tap'
import { startRecorder, valuesIn } from '../fixtures/recorder.ts'
import { startRig, type Rig } from '../fixtures/sidecar.ts'
import { visit } from '../fixtures/visit.ts'
import { startOracle } from './oracle.ts'
import { each, tag } from './rows.ts'

const recorder = await startRecorder(t)
recorder.answerAt = 'end'
const common = { FORWARD_OIDC_HEADERS: 'none', CLIENT_IP_HEADER: 'x-real-ip' }
const [commas, bars, json] = await Promise.all([
  startRig(t, recorder.port, common),
  startRig(t, recorder.port, { ...common, GROUPS_SEPARATOR: '|' }),
  startRig(t, recorder.port, { ...common, GROUPS_FORMAT: 'json' }),
])
const said: Record<string, string[]> = {
  'x-forwarded-user': [],
  'x-forwarded-email': [],
  'x-forwarded-groups': [],
  'x-real-ip': ['192.0.2.7', '2001:db8::7'],
}
const oracle = await startOracle(commas, { assertable: said })

async function tell(rig: Rig, claims: object, headers: readonly string[] = []) {
  const target = tag()
  const answer = await visit(rig.port, {
    target,
    headers: [`X-Amzn-Oidc-Data: ${rig.token({ ...claims })}`, ...headers],
  })
  const [request] = recorder.framed().filter(({ line }) => line.includes(` ${target} `))
  for (const [name, values] of Object.entries(said)) {
    if (name !== 'x-real-ip') values.push(...valuesIn(request?.headers ?? [], name))
  }
  const told = (name: string) => valuesIn(request?.headers ?? [], name)
  return { status: answer.status, told, lines: request?.headers ?? [] }
}

/** All of the Basic Latin and Latin-1 blocks one by one, and of the rest what has made trouble before. */
const CHARACTERS = [
  ...Array.from({ length: 0x180 }, (_, code) => String.fromCharCode(code)),
  ...['\u2028', '\u2029', '\u200b', '\u202e', '\ufeff', '\uffff', '\ud800', '\udfff', '\u212a'],
  ...['\u560a\u560d', '\u010a', '\u010d', '\u0a0d', '\u3000', '\uff0c', '\uff05', '\u{10ffff}'],
]

t.test('every character of a claim is in one value, and can be read back', async t => {
  await each(CHARACTERS, async character => {
    const code = character.charCodeAt(0).toString(16)
    const user = `a${character}b`
    const { status, told, lines } = await tell(commas, { email: user, groups: [user, character] })
    t.equal(status, 200, code)
    const [value = '', ...more] = told('x-forwarded-user')
    t.same(more, [], `${code}: one`)
    t.match(value, /^[\x20-\x7e]+$/, `${code}: printable`)
    t.equal(decodeURIComponent(value), Buffer.from(user).toString(), code)
    t.equal(lines.filter(line => /mallory|^b/i.test(line)).length, 0, `${code}: no line of its own`)
  })
})

/** The pair of two different lists must never be one text: whoever reads it reads what was written. */
t.test('two lists of groups are two texts, in every format', async t => {
  const lists = [
    ...[['a', 'b'], ['a,b'], ['a|b'], ['a%2Cb'], ['a%7Cb'], ['a', 'b,'], ['a,', 'b'], [',', 'a']],
    ...[
      ['a b'],
      ['a', ' b'],
      ['"a"'],
      ['["a","b"]x'],
      ['a","b'],
      ['a\\,b'],
      ['a\\', 'b'],
      ['a%'],
      ['%'],
    ],
  ]
  const readers = [
    { rig: commas, read: (text: string) => text.split(',').map(decodeURIComponent) },
    { rig: bars, read: (text: string) => text.split('|').map(decodeURIComponent) },
    { rig: json, read: (text: string) => (JSON.parse(text) as string[]).map(decodeURIComponent) },
  ]
  for (const { rig, read } of readers) {
    const texts = new Map<string, string>()
    await each(lists, async groups => {
      const { told } = await tell(rig, { groups })
      const [text = ''] = told('x-forwarded-groups')
      const wanted = [...new Set(groups.map(group => group.trim()))].sort()
      const others = texts.get(text) ?? JSON.stringify(wanted)
      t.equal(JSON.stringify(wanted), others, `${text}: of one list only`)
      texts.set(text, JSON.stringify(wanted))
      t.same(read(text), wanted, text)
    })
  }
})

/** T-38: the address that the ALB appended; what stands before it anybody may have written. */
t.test('an address is the one that the ALB saw', async t => {
  const rows: [sent: string[], address: string[]][] = [
    [['192.0.2.7'], ['192.0.2.7']],
    [['198.51.100.1, 192.0.2.7'], ['192.0.2.7']],
    [['198.51.100.1', '192.0.2.7'], ['192.0.2.7']],
    [['198.51.100.1, 192.0.2.7:4711'], ['192.0.2.7']],
    [['[2001:db8::7]:4711'], ['2001:db8::7']],
    [['192.0.2.7, mallory'], []],
    [['192.0.2.7,'], []],
    [['192.0.2.7 192.0.2.8'], []],
    [['fe80::1%eth0'], []],
    [['0x7f.1'], []],
    [['192.0.2.07'], []],
    [[], []],
  ]
  await each(rows, async ([sent, address]) => {
    const { told } = await tell(commas, {}, [
      ...sent.map(value => `X-Forwarded-For: ${value}`),
      ...['X-Real-IP: 203.0.113.1', 'X_Real_IP: 203.0.113.1', 'Forwarded: for=203.0.113.1'],
    ])
    t.same(told('x-real-ip'), address, sent.join(' + '))
    t.same(told('x-forwarded-for'), sent, 'and the list is handed on')
  })
})

/** T-41: what is too long is refused whole; cut, `admins-readonly` is `admins`. */
t.test('a list one byte too long is nobody’s list', async t => {
  for (const [length, status] of [
    [8_192, 200],
    [8_193, 403],
  ] as const) {
    const names = ['admins-readonly', 'a'.repeat(length - 'admins-readonly'.length - 1)]
    const { status: found, told } = await tell(commas, { groups: names })
    t.equal(found, status, `${length} bytes`)
    t.equal(told('x-forwarded-groups').length, status === 200 ? 1 : 0)
  }
})

t.test('after all of this', t => oracle.check(t, recorder, [bars, json]))
