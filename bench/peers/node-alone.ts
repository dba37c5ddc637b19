/** A server of node:http that forwards nothing and answers by itself: the floor of any proxy built on it. */

import { serve } from './listen.ts'

serve((_request, response) => {
  response.writeHead(200, ['Content-Type', 'text/plain', 'Content-Length', '2'])
  response.end('ok')
})
