import t from 'tap'
import { createPlaces } from '../../src/forward/places.ts'

/** Waits without ever giving up. */
const patient = () => () => undefined

/** Waits until `giveUp` is called; `taken` says whether the places took its hold back. */
function impatient() {
  const place = { giveUp: () => undefined as unknown, taken: false }
  const leave = (giveUp: () => void) => {
    place.giveUp = giveUp
    return () => {
      place.taken = true
    }
  }
  return { place, leave }
}

t.test('as many as there are places go in at once', async t => {
  const places = createPlaces(2, 0)
  t.equal(await places.enter(patient), 'in')
  t.equal(await places.enter(patient), 'in')
})

t.test('as many again wait, in the order in which they came, and no more', async t => {
  const places = createPlaces(2, 0)
  await places.enter(patient)
  await places.enter(patient)
  const order: string[] = []
  const first = places.enter(patient).then(() => order.push('first'))
  const second = places.enter(patient).then(() => order.push('second'))
  t.equal(await places.enter(patient), 'full')
  places.exit()
  await first
  places.exit()
  await second
  t.same(order, ['first', 'second'])
})

t.test('a place given back with nobody in line is free again', async t => {
  const places = createPlaces(1, 0)
  for (let turn = 0; turn < 3; turn++) {
    t.equal(await places.enter(patient), 'in')
    places.exit()
  }
})

t.test('whoever leaves the line makes room in it, and is not let in later', async t => {
  const places = createPlaces(1, 0)
  await places.enter(patient)
  const { place, leave } = impatient()
  const waiting = places.enter(leave)
  t.equal(await places.enter(patient), 'full')
  place.giveUp()
  t.equal(await waiting, 'left')
  t.ok(place.taken, 'its listener is taken back')
  const next = places.enter(patient)
  places.exit()
  t.equal(await next, 'in', 'the place goes to who is still there')
})

t.test('whoever is let in no longer listens for its client to leave', async t => {
  const places = createPlaces(1, 0)
  await places.enter(patient)
  const { place, leave } = impatient()
  const waiting = places.enter(leave)
  places.exit()
  t.equal(await waiting, 'in')
  t.ok(place.taken)
})

t.test('whoever waits too long is told so', async t => {
  const places = createPlaces(1, 20)
  await places.enter(patient)
  t.equal(await places.enter(patient), 'late')
  const next = places.enter(patient)
  places.exit()
  t.equal(await next, 'in')
})
