/** A worker as crew.ts knows workers, that does what its argument says. */
const [mode] = process.argv.slice(2)
const say = word => process.send(word)

process.on('message', message => {
  switch (message.order) {
    case 'listen':
      if (mode === 'fails') say({ word: 'failed', message: 'no port' })
      else if (mode === 'dies when told') process.exit(4)
      else if (mode !== 'slow') say({ word: 'listening', address: message })
      return
    case 'readiness':
      if (mode === 'mute') return
      if (mode === 'unready') say({ word: 'readiness', id: message.id, why: 'no keys' })
      else say({ word: 'readiness', id: message.id })
      return
    case 'metrics':
      if (mode !== 'mute') say({ word: 'metrics', id: message.id, snapshot: [{ mode }] })
      return
    case 'reload':
      say({ word: 'metrics', snapshot: [{ reloaded: mode }] })
      return
    case 'drain':
      if (mode === 'stuck') return
      if (mode === 'slow') say({ word: 'listening', address: null })
      say({ word: 'drained', inTime: mode !== 'late' })
      process.disconnect()
      return
    default:
      // What the test itself wants.
      say(message.say)
      if (message.say.word === 'drained') process.disconnect()
  }
})

if (mode === 'dies') process.exit(3)
if (mode !== 'silent') say({ word: 'hello' })
