import t from 'tap'
import { readPasted } from '../../src/cli/pasted.ts'

const request = (method: string, target: string, headers: readonly string[], isWhole = true) => ({
  ...{ kind: 'request', method, target, headers, isWhole },
})
const HOST = ['Host', 'a.example']

t.test('a request is read in every way that it is copied in', t => {
  const cases: readonly { is: string; text: string; found: object | string }[] = [
    { is: 'nothing', text: ' \n', found: 'is empty' },
    { is: 'a token', text: '\uFEFFa.b\n .c== \n', found: { kind: 'token', token: 'a.b.c==' } },
    {
      is: 'a request as on the wire',
      text: 'POST /x?y HTTP/1.1\r\nHost: a.example\r\nX-A:  b c \r\nnonsense\r\nX-Empty:\r\n',
      found: request('POST', '/x?y', [...HOST, 'X-A', 'b c', 'X-Empty', '']),
    },
    {
      is: 'header lines alone',
      text: 'x-a: b',
      found: request('GET', '/', ['Host', 'localhost', 'x-a', 'b'], false),
    },
    {
      is: 'the headers of HTTP/2',
      text: ':authority: a.example\n:method: PUT\n:path: /x\n:scheme: https\nx-a: \u00e9',
      found: request('PUT', '/x', [...HOST, 'x-a', '\u00c3\u00a9']),
    },
    {
      is: 'names and values on lines of their own',
      text: ':authority:\na.example\n:path:\n/x\nx-a:\nb: c',
      found: request('GET', '/x', [...HOST, 'x-a', 'b: c']),
    },
    {
      is: 'an odd number of lines',
      text: 'a:\nb: c\nd:',
      found: { headers: ['Host', 'localhost', 'a', '', 'b', 'c', 'd', ''] },
    },
    {
      is: 'curl -v',
      text: '* Trying\n> GET /x HTTP/2\n> Host: a.example\n> x-a: b\n>\n< HTTP/2 200\n< set-cookie: c',
      found: request('GET', '/x', [...HOST, 'x-a', 'b']),
    },
    {
      is: 'no header',
      text: 'a: b'.replace('a', 'a b'),
      found: 'holds neither a token nor a header',
    },
    {
      is: 'JSON',
      text: '{"Host":"a.example","x-a":"b","n":1}',
      found: request('GET', '/', [...HOST, 'x-a', 'b'], false),
    },
    { is: 'JSON without headers', text: '{"n":1}', found: 'holds no header' },
    { is: 'no JSON', text: '{a: b}', found: 'is not JSON' },
    {
      is: 'cURL',
      text: `$ curl 'https://u:p@a.example/x?y#z' \\\n -H 'x-a: b' -H 'nonsense' -b 'c=d' --compressed`,
      found: request('GET', '/x?y', [...HOST, 'x-a', 'b', 'Cookie', 'c=d']),
    },
    {
      is: 'cURL with everything about it',
      text: `curl -X PATCH -Hx-a:b -o out --max-time 1 --url a.example`,
      found: request('PATCH', '/', [...HOST, 'x-a', 'b']),
    },
    { is: 'cURL with data', text: `curl a.example?q -d x`, found: request('POST', '/?q', HOST) },
    { is: 'cURL for the head', text: `curl -I a.example`, found: request('HEAD', '/', HOST) },
    { is: 'cURL for the head', text: `curl --head a.example`, found: { method: 'HEAD' } },
    {
      is: 'cURL with a host',
      text: `curl b -H 'host: a.example'`,
      found: { headers: ['host', 'a.example'] },
    },
    { is: 'cURL cut short', text: `curl a -H`, found: { target: '/' } },
    { is: 'cURL without a URL', text: `curl -H 'a: b'`, found: 'is a curl command without a URL' },
    { is: 'cURL left open', text: `curl 'a`, found: /quote left open/ },
    { is: 'cURL of Windows', text: 'curl "a" ^\n -H ^"a: b^"', found: /cURL \(bash\)/ },
  ]
  for (const { is, text, found } of cases) t.match(readPasted(text), found, is)
  t.end()
})

t.test('what cannot be read is not repeated', t => {
  for (const text of ['secret 1: x', `curl 'secret`, '{"secret":1}', 'curl -H secret']) {
    t.notMatch(readPasted(text), /secret/, text)
  }
  t.end()
})
