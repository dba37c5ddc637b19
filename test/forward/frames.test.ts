import fc from 'fast-check'
import t from 'tap'
import { CLOSE_TO_CLIENT, CLOSE_TO_SERVER, createFrames } from '../../src/forward/frames.ts'

const TEXT = 0x1
const CLOSE = 0x8

/** A frame as RFC 6455 §5.2 has it, with the shortest length form unless told otherwise. */
function frame(opcode: number, bytes: number, isMasked = false, form = 0): Buffer {
  const mask = isMasked ? 0x80 : 0
  const least = bytes < 126 ? 7 : bytes < 65_536 ? 16 : 64
  const head = [0x80 | opcode]
  if (Math.max(least, form) === 7) head.push(mask | bytes)
  else if (Math.max(least, form) === 16) head.push(mask | 126, bytes >> 8, bytes & 0xff)
  else head.push(mask | 127, 0, 0, 0, 0, 0, bytes >> 16, (bytes >> 8) & 0xff, bytes & 0xff)
  if (isMasked) head.push(1, 2, 3, 4)
  return Buffer.concat([Buffer.from(head), Buffer.alloc(bytes, 0x88)])
}

t.test('a boundary is where a frame has ended, whatever its length is written in', async t => {
  const cases = [
    { what: 'empty', bytes: frame(TEXT, 0) },
    { what: 'empty and masked', bytes: frame(TEXT, 0, true) },
    { what: 'short', bytes: frame(TEXT, 125) },
    { what: '16 bits of length', bytes: frame(TEXT, 126, true) },
    { what: '16 bits for what needs 7', bytes: frame(TEXT, 5, true, 16) },
    { what: '64 bits of length', bytes: frame(TEXT, 70_000) },
    { what: '64 bits for what needs 7', bytes: frame(TEXT, 5, true, 64) },
    { what: 'a long one, masked', bytes: frame(TEXT, 70_000, true) },
  ]
  for (const { what, bytes } of cases) {
    const frames = createFrames()
    t.equal(frames.isAtBoundary(), true, `${what}: before`)
    t.equal(frames.advance(bytes.subarray(0, 1)), 1)
    t.equal(frames.isAtBoundary(), false, `${what}: after a byte`)
    frames.advance(bytes.subarray(1, -1))
    t.equal(frames.isAtBoundary(), bytes.length === 1, `${what}: a byte before the end`)
    frames.advance(bytes.subarray(-1))
    t.equal(frames.isAtBoundary(), true, `${what}: at the end`)
    t.equal(frames.hasClosed(), false, what)
  }
})

t.test('however frames are cut into pieces, the boundaries are the same', async t => {
  const spec = fc.record({
    bytes: fc.oneof(fc.nat(300), fc.constantFrom(125, 126, 65_535, 65_536)),
    isMasked: fc.boolean(),
    form: fc.constantFrom(0, 16, 64),
  })
  fc.assert(
    fc.property(
      fc.array(spec, { maxLength: 6 }),
      fc.array(fc.nat(400), { maxLength: 40 }),
      (specs, cuts) => {
        const whole = specs.map(({ bytes, isMasked, form }) => frame(TEXT, bytes, isMasked, form))
        const ends = new Set([0])
        for (const each of whole) ends.add(Math.max(...ends) + each.length)
        const stream = Buffer.concat(whole)
        const frames = createFrames()
        let at = 0
        for (const cut of [...cuts, stream.length]) {
          frames.advance(stream.subarray(at, at + cut))
          at = Math.min(at + cut, stream.length)
          if (frames.isAtBoundary() !== ends.has(at)) return false
        }
        return !frames.hasClosed()
      },
    ),
  )
  t.pass()
})

t.test('it stops behind the first frame that ends, when asked to', async t => {
  const frames = createFrames()
  const two = Buffer.concat([frame(TEXT, 300), frame(TEXT, 4, true)])
  frames.advance(two.subarray(0, 100))
  t.equal(frames.advance(two.subarray(100), true), 204)
  t.equal(frames.isAtBoundary(), true)
  t.equal(frames.advance(two.subarray(304, 306), true), 2, 'no end within the piece: all of it')
  t.equal(frames.isAtBoundary(), false)
  t.equal(frames.advance(two.subarray(306), true), 8)
  t.equal(createFrames().advance(Buffer.alloc(0), true), 0)
})

t.test('a Close frame is noticed by its head, a payload that looks like one is not', async t => {
  const frames = createFrames()
  frames.advance(frame(TEXT, 10))
  t.equal(frames.hasClosed(), false)
  frames.advance(frame(CLOSE, 2, true).subarray(0, 6))
  t.equal(frames.hasClosed(), true)
})

t.test('the Close frames say 1001 as a server and as a client have to', async t => {
  t.same([...CLOSE_TO_CLIENT], [0x88, 0x02, 0x03, 0xe9])
  const [head, length, ...rest] = CLOSE_TO_SERVER
  t.same([head, length], [0x88, 0x82])
  const [mask, payload] = [rest.slice(0, 4), rest.slice(4)]
  t.same(
    payload.map((byte, at) => byte ^ (mask[at] ?? 0)),
    [0x03, 0xe9],
  )
})
