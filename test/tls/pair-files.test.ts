import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { followPair, readPair } from '../../src/tls/pair-files.ts'
import { eventually } from '../attack/rows.ts'
import { createAuthority, type Issued } from '../fixtures/certificates.ts'

const authority = await createAuthority()
const [one, two, three] = await Promise.all([
  authority.issue(),
  authority.issue(),
  authority.issue(),
])
const MISMATCH = 'TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE'

function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'pair-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  return folder
}

function writePair(folder: string, { certificate, key }: Issued): void {
  writeFileSync(join(folder, 'tls.crt'), certificate)
  writeFileSync(join(folder, 'tls.key'), key)
}

const filesIn = (folder: string) => ({
  certificate: join(folder, 'tls.crt'),
  key: join(folder, 'tls.key'),
})

/** Follows the files in `folder`, which holds `one`; events are `pair one` and faults. */
function follow(t: Test, folder: string, everyMs = 20) {
  const inUse = readPair(filesIn(folder))
  if ('faults' in inUse) throw new Error(inUse.faults.join())
  const events: string[] = []
  const names = new Map([one, two, three].map(({ key }, at) => [key, ['one', 'two', 'three'][at]!]))
  const following = followPair({
    ...{ files: filesIn(folder), inUse, everyMs },
    onPair: ({ key }) => events.push(`pair ${names.get(key) ?? 'unknown'}`),
    onFaulty: ({ faults }) => events.push(...faults),
  })
  t.teardown(following.stop)
  const happens = (event: string) => eventually(() => events.includes(event), 20_000)
  return { events, happens, ...following }
}

t.test('both files are read at once, and both are blamed', t => {
  const folder = makeFolder(t)
  const missing = readPair(filesIn(folder))
  t.match(missing, {
    faults: [/^TLS_CERT_FILE cannot be read: ENOENT/, /^TLS_KEY_FILE cannot be read: ENOENT/],
  })
  writePair(folder, one)
  t.match(readPair(filesIn(folder)), one)
  mkdirSync(join(folder, 'directory'))
  t.match(readPair({ ...filesIn(folder), key: join(folder, 'directory') }), {
    faults: [/^TLS_KEY_FILE cannot be read: EISDIR/],
  })
  t.end()
})

t.test('another pair is found, however it came there', async t => {
  const ways: { way: string; change: (folder: string) => void }[] = [
    {
      way: 'written in place',
      change: folder => {
        writePair(folder, two)
      },
    },
    {
      way: 'renamed',
      change: folder => {
        const aside = join(folder, 'aside')
        mkdirSync(aside)
        writePair(aside, two)
        for (const name of ['tls.crt', 'tls.key']) renameSync(join(aside, name), join(folder, name))
      },
    },
    {
      way: 'removed and written anew',
      change: folder => {
        for (const name of ['tls.crt', 'tls.key']) unlinkSync(join(folder, name))
        writePair(folder, two)
      },
    },
  ]
  for (const { way, change } of ways) {
    const folder = makeFolder(t)
    writePair(folder, one)
    const { happens, events } = follow(t, folder)
    change(folder)
    t.ok(await happens('pair two'), way)
    t.same(events.at(-1), 'pair two', way)
  }
})

/** As the kubelet does it: ..data is a link to a folder, which is swapped by renaming another link. */
t.test('a link two levels above is swapped', async t => {
  const folder = makeFolder(t)
  const version = (name: string, pair: Issued) => {
    mkdirSync(join(folder, name))
    writePair(join(folder, name), pair)
    symlinkSync(name, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  version('..2026_1', one)
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(folder, name))
  const { happens, events } = follow(t, folder)
  version('..2026_2', two)
  rmSync(join(folder, '..2026_1'), { recursive: true })
  t.ok(await happens('pair two'))
  version('..2026_3', three)
  t.ok(await happens('pair three'))
  t.same(events, ['pair two', 'pair three'], 'no half of a pair was ever seen')
})

t.test(
  'a change in two steps ends with the whole pair, and each bad content is told once',
  async t => {
    const folder = makeFolder(t)
    writePair(folder, one)
    const { happens, events } = follow(t, folder)
    writeFileSync(join(folder, 'tls.crt'), two.certificate)
    t.ok(await happens(MISMATCH), 'the other step is late')
    await sleep(200)
    t.same(events, [MISMATCH], 'told once')
    writeFileSync(join(folder, 'tls.key'), '')
    const empty = 'TLS_KEY_FILE holds no PEM private key that can be read without a passphrase'
    t.ok(await happens(empty))
    writeFileSync(join(folder, 'tls.key'), two.key)
    t.ok(await happens('pair two'))
    unlinkSync(join(folder, 'tls.key'))
    t.ok(await eventually(() => events.length === 4, 20_000))
    t.match(events.at(-1), /^TLS_KEY_FILE cannot be read: ENOENT/)
    writeFileSync(join(folder, 'tls.key'), two.key)
    t.ok(await eventually(() => events.length === 5, 20_000))
    t.equal(events.at(-1), 'pair two', 'what was in use is told again when it is back')
  },
)

t.test('nothing is told of files that stay as they are', async t => {
  const folder = makeFolder(t)
  writePair(folder, one)
  const { events } = follow(t, folder, 5)
  await sleep(200)
  writePair(folder, one)
  await sleep(200)
  t.same(events, [])
})

t.test('on demand the files are judged at once, changed or not', async t => {
  const folder = makeFolder(t)
  writePair(folder, one)
  const { events, reload } = follow(t, folder, 3_600_000)
  await reload()
  t.same(events, ['pair one'])
  writeFileSync(join(folder, 'tls.key'), two.key)
  await reload()
  await reload()
  t.same(events.slice(1), [MISMATCH, MISMATCH])
  writePair(folder, two)
  await Promise.all([reload(), reload()])
  t.same(events.slice(3), ['pair two', 'pair two'])
})

t.test(
  'after stop nothing is looked at any more, not even by the look that is under way',
  async t => {
    const folder = makeFolder(t)
    writePair(folder, one)
    const idle = follow(t, folder, 5)
    idle.stop()
    const events: string[] = []
    const inUse = readPair(filesIn(folder))
    if ('faults' in inUse) throw new Error(inUse.faults.join())
    const { stop } = followPair({
      ...{ files: filesIn(folder), inUse, everyMs: 5 },
      onPair: ({ key }) => {
        events.push(key)
        stop()
      },
      onFaulty: ({ faults }) => events.push(...faults),
    })
    writePair(folder, two)
    t.ok(await eventually(() => events.length > 0, 20_000))
    writePair(folder, three)
    await sleep(200)
    t.same(events, [two.key])
    t.same(idle.events, [])
  },
)
