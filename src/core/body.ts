/**
 * What a client declared to follow the header of its request; what is not declared is never read.
 */
export type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }

/** Whether a byte is to come. */
export function isEmpty(body: Body): boolean {
  return body.kind === 'none' || (body.kind === 'length' && body.bytes === 0)
}
