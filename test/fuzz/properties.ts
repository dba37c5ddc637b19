/**
 * What must hold for any input at all.
 */
import { says } from './claims.ts'
import { admitted, cookies, folding, remembering } from './headers.ts'
import { location, openPath, pattern } from './paths.ts'
import type { Property } from './property.ts'
import { shape } from './tokens.ts'
import { configuration, whole } from './whole.ts'

export const PROPERTIES: readonly Property[] = [
  ...[
    openPath,
    pattern,
    shape,
    folding,
    cookies,
    remembering,
    says,
    admitted,
    location,
    configuration,
    whole,
  ],
]
