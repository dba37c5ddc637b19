/**
 * The name of one load balancer, and what follows from it: where its keys are published.
 *
 * Partitions and regions are not a closed list (`aws-iso`, `aws-eusc`, `us-isob-east-1`), so any name
 * of their form is read; but a key endpoint is known only where AWS documents one.
 */

export interface AlbArn {
  /** As configured; compared with `signer` whole and exactly. */
  readonly text: string
  readonly partition: string
  readonly region: string
}

const ARN =
  /^arn:(aws(?:-[a-z]+)*):elasticloadbalancing:([a-z]+(?:-[a-z]+)+-\d+):\d{12}:loadbalancer\/app\/[A-Za-z0-9-]{1,32}\/[A-Za-z0-9]{1,32}$/

/** @returns `undefined` unless `text` is the whole ARN of one Application Load Balancer. */
export function parseAlbArn(text: string): AlbArn | undefined {
  const [, partition, region] = ARN.exec(text) ?? []
  return partition === undefined || region === undefined ? undefined : { text, partition, region }
}

/**
 * Where AWS documents the keys of a partition, as a template with `{region}` and `{kid}`.
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#user-claims-encoding
 */
const KEY_URLS: Readonly<Record<string, string>> = {
  aws: 'https://public-keys.auth.elb.{region}.amazonaws.com/{kid}',
  'aws-us-gov': 'https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/{kid}',
}

/**
 * Where one key of a load balancer is published.
 *
 * @param kid A UUID in lower case: nothing else may be put into a URL.
 * @param template `ALB_KEY_URL`, if the operator set it; it then serves every partition.
 * @returns `undefined` where AWS documents no endpoint and the operator named none.
 */
export function keyUrl(arn: AlbArn, kid: string, template?: string): string | undefined {
  const known = Object.hasOwn(KEY_URLS, arn.partition) ? KEY_URLS[arn.partition] : undefined
  return (template ?? known)?.replaceAll('{region}', arn.region).replaceAll('{kid}', kid)
}
