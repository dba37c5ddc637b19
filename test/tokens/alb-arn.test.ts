import t from 'tap'
import { keyUrl, parseAlbArn, type AlbArn } from '../../src/tokens/alb-arn.ts'
import { ARN } from '../fixtures/sidecar.ts'

const KID = 'c2f80c8b-c05c-4068-af14-17299f7896b1'

/** The ARN of a load balancer in another partition and region. */
const arnIn = (partition: string, region: string): string =>
  `arn:${partition}:elasticloadbalancing:${region}:123456789012:loadbalancer/app/web/50dc6c495c0c9188`

/** The same, read. */
const parsed = (partition: string, region: string): AlbArn => {
  const arn = parseAlbArn(arnIn(partition, region))
  if (arn === undefined) throw new Error(`not an ARN: ${partition} ${region}`)
  return arn
}

t.test('the ARN of an ALB is read in every partition, known to us or not', t => {
  const cases = [
    ['aws', 'eu-central-1'],
    ['aws', 'us-east-1'],
    ['aws', 'ap-southeast-7'],
    ['aws', 'mx-central-1'],
    ['aws-us-gov', 'us-gov-west-1'],
    ['aws-cn', 'cn-north-1'],
    ['aws-iso', 'us-iso-east-1'],
    ['aws-iso-b', 'us-isob-east-1'],
    ['aws-eusc', 'eusc-de-east-1'],
    ['aws', 'eu-central-12'],
  ] as const
  for (const [partition, region] of cases) {
    const text = arnIn(partition, region)
    t.same(parseAlbArn(text), { text, partition, region }, `${partition} ${region}`)
  }
  t.end()
})

t.test('anything that is not the whole ARN of one ALB is not an ARN', t => {
  const cases = [
    { text: '', is: 'empty' },
    { text: '*', is: 'a wildcard' },
    { text: ` ${ARN}`, is: 'led by a space' },
    { text: `${ARN} `, is: 'followed by a space' },
    { text: `${ARN}\n`, is: 'followed by a line end' },
    { text: `x${ARN}`, is: 'led by a letter' },
    { text: `${ARN}/`, is: 'followed by a slash' },
    { text: `${ARN},${ARN}`, is: 'two ARNs' },
    { text: `${ARN}*`, is: 'ended by a wildcard' },
    { text: ARN.replace(/[^/]+$/, '*'), is: 'for any id' },
    { text: ARN.replace(/\/[^/]+$/, ''), is: 'without an id' },
    { text: ARN.replace('123456789012', '*'), is: 'of any account' },
    { text: ARN.replace('123456789012', ''), is: 'of no account' },
    { text: ARN.replace('123456789012', '12345678901'), is: 'of an account of eleven digits' },
    { text: ARN.replace('123456789012', '1234567890123'), is: 'of an account of thirteen digits' },
    { text: ARN.replace('123456789012', '١٢٣٤٥٦٧٨٩٠١٢'), is: 'of an account in other digits' },
    { text: ARN.replace('eu-central-1', '*'), is: 'of any region' },
    { text: ARN.replace('eu-central-1', ''), is: 'of no region' },
    { text: ARN.replace('eu-central-1', 'eu-central'), is: 'of a region without a number' },
    { text: ARN.replace('eu-central-1', 'evil.example/eu-1'), is: 'of a region that is a host' },
    { text: ARN.replace('eu-central-1', 'eu-central-1@evil'), is: 'of a region with user info' },
    { text: ARN.replace('arn:aws:', 'arn::'), is: 'of no partition' },
    { text: ARN.replace('arn:aws:', 'arn:AWS:'), is: 'of a partition in capitals' },
    {
      text: ARN.replace('arn:aws:', 'arn:awsome:'),
      is: 'of a partition that only starts like AWS',
    },
    { text: ARN.toUpperCase(), is: 'in capitals' },
    { text: ARN.replace('/app/', '/net/'), is: 'of a network load balancer' },
    { text: ARN.replace('/app/', '/gwy/'), is: 'of a gateway load balancer' },
    { text: ARN.replace('loadbalancer/app', 'targetgroup'), is: 'of a target group' },
    { text: ARN.replace('loadbalancer/app', 'listener/app'), is: 'of a listener' },
    { text: ARN.replace('elasticloadbalancing', 'iam'), is: 'of another service' },
    { text: ARN.replace('consoleme', 'a'.repeat(33)), is: 'with too long a name' },
    { text: ARN.replace('consoleme', ''), is: 'without a name' },
    { text: ARN.replace('consoleme', 'console_me'), is: 'with a name no ALB can have' },
  ]
  for (const { text, is } of cases) t.equal(parseAlbArn(text), undefined, is)
  t.match(parseAlbArn(ARN), { text: ARN }, 'and the whole one is')
  t.end()
})

t.test('a key is published where AWS documents it', t => {
  const cases = [
    {
      arn: parsed('aws', 'eu-central-1'),
      url: `https://public-keys.auth.elb.eu-central-1.amazonaws.com/${KID}`,
    },
    {
      arn: parsed('aws-us-gov', 'us-gov-west-1'),
      url: `https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/${KID}`,
    },
    {
      arn: parsed('aws-us-gov', 'us-gov-east-1'),
      url: `https://s3-us-gov-east-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-east-1/${KID}`,
    },
  ]
  for (const { arn, url } of cases) t.equal(keyUrl(arn, KID), url, arn.region)
  t.end()
})

t.test('where AWS documents no endpoint none is guessed', t => {
  const cases = [
    parsed('aws-cn', 'cn-north-1'),
    parsed('aws-iso', 'us-iso-east-1'),
    parsed('aws-eusc', 'eusc-de-east-1'),
    { ...parsed('aws', 'eu-central-1'), partition: 'constructor' },
    { ...parsed('aws', 'eu-central-1'), partition: '__proto__' },
  ]
  for (const arn of cases) t.equal(keyUrl(arn, KID), undefined, arn.partition)
  t.end()
})

t.test("the operator's template serves every partition and fills each place it names", t => {
  const cases = [
    ['https://keys.example/{region}/{kid}', `https://keys.example/cn-north-1/${KID}`],
    ['https://{region}.keys.example/{kid}.pem', `https://cn-north-1.keys.example/${KID}.pem`],
    ['https://k.example/{kid}/{region}/{kid}', `https://k.example/${KID}/cn-north-1/${KID}`],
    ['http://127.0.0.1:1/key', 'http://127.0.0.1:1/key'],
  ] as const
  for (const [template, url] of cases) {
    t.equal(keyUrl(parsed('aws-cn', 'cn-north-1'), KID, template), url, template)
  }
  t.equal(
    keyUrl(parsed('aws', 'eu-central-1'), KID, 'https://keys.example/{kid}'),
    `https://keys.example/${KID}`,
    'and it comes before the documented endpoint',
  )
  t.end()
})
