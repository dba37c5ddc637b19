import t from 'tap'
import { shellWords } from '../../src/cli/shell-words.ts'

t.test('a command is cut as bash cuts it', t => {
  const cases: readonly (readonly [command: string, words: readonly string[] | undefined])[] = [
    ['', []],
    ['curl a  b\tc', ['curl', 'a', 'b', 'c']],
    [`curl 'a b' "c d" e`, ['curl', 'a b', 'c d', 'e']],
    [`a'b'"c"d`, ['abcd']],
    [`''`, ['']],
    [`'a\\b' "a\\b" "a\\"b\\\\" a\\ b`, ['a\\b', 'a\\b', 'a"b\\', 'a b']],
    ['curl \\\n  -H \\\r\n a', ['curl', '-H', 'a']],
    ['"a\\\nb"', ['ab']],
    ["$'a\\'b\\n\\r\\t\\x41\\u0042\\\\\\q'", ["a'b\n\r\tAB\\q"]],
    ['a$b $', ['a$b', '$']],
    [`a 'b`, undefined],
    [`a "b`, undefined],
    ['a\\', undefined],
  ]
  for (const [command, words] of cases) t.same(shellWords(command), words, command)
  t.end()
})
