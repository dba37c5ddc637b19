/**
 * Signs alice in at a load balancer and says as JSON what page she gets: `node sign-in.ts URL`. Run by
 * Node 24 in the network of a container, where no test gets.
 */
import { createVisitor } from '../../simulator/visitor.ts'

const [url = ''] = process.argv.slice(2)
const { status, body } = await createVisitor().signIn(url, { name: 'alice', password: 'password' })
process.stdout.write(JSON.stringify({ status, body }))
