/**
 * Groups are read in the shapes that providers really send, and anything else is no groups.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Claims } from '../../src/core/identity.ts'
import { isGroupsOverage, readGroups } from '../../src/identity/groups.ts'

t.test('a groups claim in each of its shapes', t => {
  const cases = [
    { value: ['a', 'b'], groups: ['a', 'b'], why: 'an array' },
    { value: ['b', 'a', 'b'], groups: ['b', 'a', 'b'], why: 'an array, in its order' },
    {
      value: [' a ', '', '  ', 'b'],
      groups: ['a', 'b'],
      why: 'names are trimmed, empty ones left out',
    },
    { value: ['a,b', 'a b', '[c]'], groups: ['a,b', 'a b', '[c]'], why: 'a member is never cut' },
    { value: [], groups: [], why: 'an empty array' },
    {
      value: ['a', 1, null, true, ['b'], { c: 'c' }, undefined],
      groups: ['a'],
      why: 'other types are left out',
    },
    { value: [0], groups: [], why: 'a number is never a name' },

    { value: '["a","b"]', groups: ['a', 'b'], why: 'a JSON array in a string' },
    { value: ' [ "a" , "b" ] ', groups: ['a', 'b'], why: 'with white space' },
    { value: '["a,b"]', groups: ['a,b'], why: 'a comma within a JSON name' },
    { value: '["a",1,null,["b"]]', groups: ['a'], why: 'other types in it' },
    { value: '[]', groups: [], why: 'an empty JSON array' },
    { value: '[1,2]', groups: [], why: 'a JSON array of numbers holds no names' },
    { value: '["\\u0061"]', groups: ['a'], why: 'a JSON escape' },

    { value: '[a, b]', groups: ['a', 'b'], why: 'as Cognito maps a list' },
    { value: '[a]', groups: ['a'], why: 'Cognito, one' },
    { value: '[a,b , ,c d]', groups: ['a', 'b', 'c d'], why: 'Cognito, untidy' },
    { value: '[ ]', groups: [], why: 'Cognito, none' },
    { value: '["a", b]', groups: ['"a"', 'b'], why: 'what is not quite JSON is read as Cognito' },
    {
      value: '[arn:aws:iam::1:role/x, y]',
      groups: ['arn:aws:iam::1:role/x', 'y'],
      why: 'Cognito, colons',
    },

    { value: 'a', groups: [], why: 'a plain string' },
    { value: 'a,b', groups: [], why: 'a plain string that may be one name' },
    { value: 'a b', groups: [], why: 'a plain string with a space' },
    { value: '', groups: [], why: 'an empty string' },
    { value: '[a', groups: [], why: 'half a bracket' },
    { value: 'a]', groups: [], why: 'the other half' },
    { value: '[', groups: [], why: 'one bracket is not a pair' },
    { value: '{"a":"b"}', groups: [], why: 'a JSON object in a string' },
    { value: '"a"', groups: [], why: 'a JSON string in a string' },

    { value: undefined, groups: [], why: 'nothing' },
    { value: null, groups: [], why: 'null' },
    { value: 7, groups: [], why: 'a number' },
    { value: true, groups: [], why: 'a boolean' },
    { value: { 0: 'a', length: 1 }, groups: [], why: 'what resembles an array' },
    { value: { groups: ['a'] }, groups: [], why: 'an object' },
  ]
  for (const { value, groups, why } of cases) {
    t.strictSame(readGroups(value, ''), groups, `${why}: ${JSON.stringify(value)}`)
  }
  t.end()
})

/**
 * Only text that is not JSON is Cognito's form. No text makes JSON.parse fail in another way, so the
 * fault is put there: this is about what happens to a bug, not to a claim.
 */
t.test('a fault while reading is a fault and not a list of groups', t => {
  const parse = t.intercept(JSON, 'parse', {
    value: () => {
      throw new RangeError('a fault')
    },
  })
  let fault: unknown
  try {
    readGroups('[a, b]', '')
  } catch (error) {
    fault = error
  } finally {
    parse.restore()
  }
  t.match(fault, { name: 'RangeError', message: 'a fault' })
  t.end()
})

t.test('GROUPS_SPLIT cuts a plain string and nothing else', t => {
  const cases = [
    { value: 'a,b', separator: ',', groups: ['a', 'b'] },
    { value: ' a , b ,, ', separator: ',', groups: ['a', 'b'] },
    { value: 'a', separator: ',', groups: ['a'] },
    { value: 'a b', separator: ',', groups: ['a b'] },
    { value: 'a b  c', separator: ' ', groups: ['a', 'b', 'c'] },
    { value: 'a;b', separator: ';', groups: ['a', 'b'] },
    { value: 'a.b', separator: '.', groups: ['a', 'b'] },
    { value: 'a||b', separator: '||', groups: ['a', 'b'] },
    { value: '', separator: ',', groups: [] },
    { value: ',', separator: ',', groups: [] },
    { value: '[a', separator: ',', groups: ['[a'] },
    { value: ['a,b'], separator: ',', groups: ['a,b'] },
    { value: '["a,b"]', separator: ',', groups: ['a,b'] },
    { value: '["a;b"]', separator: ';', groups: ['a;b'] },
    { value: '[a;b]', separator: ';', groups: ['a;b'] },
    { value: 7, separator: ',', groups: [] },
  ]
  for (const { value, separator, groups } of cases) {
    const what = `${JSON.stringify(value)} cut at '${separator}'`
    t.strictSame(readGroups(value, separator), groups, what)
  }
  t.end()
})

t.test('of any JSON there is, what comes out are names, and each stands in the claim', t => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom('', ',', ' '), (value, separator) => {
      const text = (Array.isArray(value) ? value : [value])
        .filter(each => typeof each === 'string')
        .join('\n')
      return readGroups(value, separator).every(
        name => name !== '' && name.trim() === name && text.includes(name),
      )
    }),
    { numRuns: 1_000 },
  )
  const unit = fc.integer({ min: 0, max: 0x10ffff }).map(code => String.fromCodePoint(code))
  const anyName = fc.string({ unit }).map(name => `x${name}x`)
  fc.assert(
    fc.property(fc.array(anyName), names => {
      const read = [readGroups(names, ','), readGroups(JSON.stringify(names), ',')]
      return read.every(found => JSON.stringify(found) === JSON.stringify(names))
    }),
    { numRuns: 1_000 },
  )
  t.pass()
  t.end()
})

t.test('groups that the provider left out are unknown, not none', t => {
  const cases = [
    { json: '{ "hasgroups": true }', overage: true, why: 'Entra, implicit flow' },
    {
      json: '{ "hasgroups": "true" }',
      overage: true,
      why: 'as text, the way Cognito passes it on',
    },
    { json: '{ "_claim_names": { "groups": "src1" } }', overage: true, why: 'Entra, other flows' },
    { json: '{ "_claim_names": { "groups": null } }', overage: true, why: 'whatever it refers to' },
    {
      json: '{ "_claim_names": { "roles": "src1" } }',
      overage: true,
      why: 'the claim that is configured',
    },
    {
      json: '{ "groups": [], "_claim_names": { "groups": "src1" } }',
      overage: true,
      why: 'beside an empty claim',
    },
    { json: '{}', overage: false, why: 'no marker' },
    { json: '{ "hasgroups": false }', overage: false, why: 'the marker says no' },
    { json: '{ "hasgroups": "false" }', overage: false, why: 'as text' },
    { json: '{ "hasgroups": 1 }', overage: false, why: 'neither true nor "true"' },
    { json: '{ "_claim_names": {} }', overage: false, why: 'nothing elsewhere' },
    {
      json: '{ "_claim_names": { "address": "src1" } }',
      overage: false,
      why: 'something else elsewhere',
    },
    { json: '{ "_claim_names": null }', overage: false, why: 'null' },
    { json: '{ "_claim_names": 7 }', overage: false, why: 'a number' },
    { json: '{ "_claim_names": ["address"] }', overage: false, why: 'an array' },
    {
      json: '{ "_claim_names": { "__proto__": { "groups": "src1" } } }',
      overage: false,
      why: 'not by a prototype',
    },
  ]
  for (const { json, overage, why } of cases) {
    t.equal(isGroupsOverage(JSON.parse(json) as Claims, ['roles']), overage, `${why}: ${json}`)
  }
  const roles = { _claim_names: { roles: 'src1' } }
  t.equal(isGroupsOverage(roles, []), false, 'a claim that nobody asks for may be elsewhere')
  t.equal(isGroupsOverage(roles, ['constructor', 'toString']), false, 'no name reaches a prototype')
  t.end()
})
