import t from 'tap'
import { requestIdOf } from '../../src/server/request-id.ts'

const ROOT = '1-67891233-abcdef012345678912345678'
const RANDOM = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

t.test("a request is named by the load balancer's well-formed trace id, or at random", t => {
  const cases: readonly { trace: readonly string[]; id: string | RegExp }[] = [
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT}`], id: ROOT },
    { trace: ['x-amzn-trace-id', `Root=${ROOT}`], id: ROOT },
    {
      trace: ['X-Amzn-Trace-Id', `Self=1-67891234-12456789abcdef012345678;Root=${ROOT}`],
      id: ROOT,
    },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT};Parent=53995c3f42cd8ad8;Sampled=1`], id: ROOT },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT}`, 'X-Amzn-Trace-Id', `Root=${ROOT}`], id: RANDOM },
    { trace: [], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', ''], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', ROOT], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT}0`], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT.slice(1)}`], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT.toUpperCase()}`], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `xRoot=${ROOT}`], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `Root="${ROOT}"`], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT} `], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', `Root=${ROOT}\n`], id: RANDOM },
    { trace: ['X-Amzn-Trace-Id', 'Root=1-67891233-<script>alert(1)</scrip'], id: RANDOM },
    { trace: ['X_Amzn_Trace_Id', `Root=${ROOT}`], id: RANDOM },
  ]
  for (const { trace, id } of cases) {
    t.match(requestIdOf(['Host', 'a', ...trace]), id, JSON.stringify(trace))
  }
  t.end()
})

t.test('two requests without a trace id do not share a name', t => {
  t.not(requestIdOf([]), requestIdOf([]))
  t.end()
})
