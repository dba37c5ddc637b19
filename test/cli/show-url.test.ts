import t from 'tap'
import { showUrl } from '../../src/cli/show-url.ts'

t.test('a URL is shown without credentials and query', t => {
  t.equal(showUrl('https://u:secret@a/b?sig=secret\nsecret'), 'https://…@a/b?…')
  t.equal(showUrl('https://a/{region}/{kid}'), 'https://a/{region}/{kid}')
  t.end()
})
