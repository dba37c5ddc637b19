import t from 'tap'
import { remembered, rememberedPer } from '../../src/core/remembered.ts'

t.test('what was worked out once is not worked out again', async t => {
  const asked: string[] = []
  const find = remembered(name => {
    asked.push(name)
    return name.toUpperCase()
  })
  t.same(['a', 'b', 'a', 'A', 'b'].map(find), ['A', 'B', 'A', 'A', 'B'])
  t.same(asked, ['a', 'b', 'A'])
})

t.test('made-up names take no more than so much memory, and change nothing', async t => {
  let works = 0
  const find = remembered(name => {
    works++
    return `of ${name}`
  })
  const names = Array.from({ length: 5_000 }, (_, at) => `x-${at}`)
  t.same(
    names.map(find),
    names.map(name => `of ${name}`),
  )
  t.equal(works, 5_000)
  for (const again of ['forgotten', 'remembered again']) {
    t.same(
      names.slice(0, 100).map(find),
      names.slice(0, 100).map(name => `of ${name}`),
    )
    t.equal(works, 5_100, again)
  }
})

t.test('a long name is worked out every time', async t => {
  let works = 0
  const find = remembered(name => {
    works++
    return name
  })
  const [long, short] = ['x'.repeat(65), 'x'.repeat(64)]
  for (const name of [long, long, short, short]) t.equal(find(name), name)
  t.equal(works, 3)
})

t.test('a text is known again whatever it is made of', async t => {
  let works = 0
  const find = remembered(text => {
    works++
    return text.length
  })
  const texts = ['', 'a', 'x-amzn-oidc-data', 'caf\xe9', '\u212a', '\ud800', '\0']
  for (const text of texts) t.equal(find(text), text.length)
  t.equal(works, texts.length)
  for (const text of texts) t.equal(find(`${text} `.slice(0, -1)), text.length)
  t.equal(works, texts.length, 'a part of another text is the same text')
})

t.test('an answer about an object is about that object only', async t => {
  const asked: object[] = []
  const find = rememberedPer((about: object) => {
    asked.push(about)
    return asked.length
  })
  const [one, other] = [{}, {}]
  t.same([one, other, one, other].map(find), [1, 2, 1, 2])
  t.same(asked, [one, other])
})
