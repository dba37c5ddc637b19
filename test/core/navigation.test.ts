import t from 'tap'
import { isNavigation } from '../../src/core/navigation.ts'

t.test('a person looks at what comes back when a browser navigates', t => {
  const rows: readonly [headers: readonly string[], isPerson: boolean][] = [
    [['Sec-Fetch-Mode', 'navigate'], true],
    [['sec-fetch-mode', 'navigate', 'accept', '*/*'], true],
    [['SEC-FETCH-MODE', 'navigate'], true],
    [['Sec-Fetch-Mode', 'cors', 'Accept', 'text/html'], false],
    [['Sec-Fetch-Mode', 'no-cors', 'Accept', 'text/html'], false],
    [['Sec-Fetch-Mode', 'same-origin', 'Accept', 'text/html'], false],
    [['Sec-Fetch-Mode', 'websocket', 'Accept', 'text/html'], false],
    [['Sec-Fetch-Mode', 'Navigate', 'Accept', 'text/html'], false],
    [['Sec-Fetch-Mode', '', 'Accept', 'text/html'], false],
    [['Sec-Fetch-Mode', 'cors', 'Sec-Fetch-Mode', 'navigate'], false],
    [['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'], true],
    [['ACCEPT', 'application/xml, TEXT/HTML;q=0.1'], true],
    [['Accept', 'application/json', 'Accept', 'text/html'], true],
    [['Accept', '*/*'], false],
    [['Accept', 'application/json'], false],
    [['Accept', ''], false],
    [['X-Accept', 'text/html'], false],
    [['Sec-Fetch-Dest', 'document'], false],
    [[], false],
  ]
  for (const [headers, isPerson] of rows) {
    t.equal(isNavigation(headers), isPerson, headers.join(': '))
  }
  t.end()
})
