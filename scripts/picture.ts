/**
 * Draws where the sidecar stands, for the first screen of the README. Boxes and arrows are a table
 * here, so that the picture can be changed by whoever can read it; docs/overview.svg is written from
 * it by `npm run docs`.
 */

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  /** The first line is the name, the others say what it does. */
  readonly lines: readonly string[]
  readonly kind: 'ours' | 'theirs' | 'hostile'
}

interface Arrow {
  /** Corners of the line; the head is at the last. */
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly label: string
  /** Where the middle of the label stands. */
  readonly at: readonly [x: number, y: number]
  readonly kind: 'request' | 'refused' | 'aside'
}

const WIDTH = 900
const HEIGHT = 372

const BOXES: readonly Box[] = [
  {
    ...{ x: 16, y: 140, width: 104, height: 76, kind: 'theirs' },
    lines: ['Browser', 'session cookie'],
  },
  {
    ...{ x: 180, y: 126, width: 156, height: 104, kind: 'theirs' },
    lines: ['AWS ALB', 'authenticate-oidc or', 'authenticate-cognito;', 'signs who it is'],
  },
  {
    ...{ x: 180, y: 14, width: 156, height: 76, kind: 'hostile' },
    lines: ['Anybody else', 'another ALB, a pod', 'next door, a header'],
  },
  {
    ...{ x: 470, y: 112, width: 164, height: 132, kind: 'ours' },
    lines: [
      'alb-auth-sidecar',
      'verifies both tokens,',
      'strips what was forged,',
      'injects who it is',
      ':8080, admin :9090',
    ],
  },
  {
    ...{ x: 756, y: 140, width: 124, height: 76, kind: 'theirs' },
    lines: ['Application', 'unchanged, on', '127.0.0.1:8081'],
  },
  {
    ...{ x: 330, y: 304, width: 176, height: 56, kind: 'theirs' },
    lines: ['Key endpoint', 'cached through outages'],
  },
  {
    ...{ x: 526, y: 304, width: 156, height: 56, kind: 'theirs' },
    lines: ['Identity provider', 'its JWKS'],
  },
  {
    ...{ x: 702, y: 304, width: 178, height: 56, kind: 'theirs' },
    lines: ['Prometheus, probes', '/metrics /healthz /readyz'],
  },
]

const ARROWS: readonly Arrow[] = [
  {
    points: [
      [120, 178],
      [180, 178],
    ],
    ...{ label: 'HTTPS', at: [150, 170], kind: 'request' },
  },
  {
    points: [
      [336, 178],
      [470, 178],
    ],
    ...{ label: 'x-amzn-oidc-data', at: [394, 170], kind: 'request' },
  },
  {
    points: [
      [336, 52],
      [552, 52],
      [552, 112],
    ],
    ...{ label: '401', at: [574, 92], kind: 'refused' },
  },
  {
    points: [
      [634, 178],
      [756, 178],
    ],
    ...{ label: 'X-Forwarded-User', at: [695, 170], kind: 'request' },
  },
  {
    points: [
      [520, 244],
      [520, 272],
      [418, 272],
      [418, 304],
    ],
    ...{ label: '', at: [0, 0], kind: 'aside' },
  },
  {
    points: [
      [586, 244],
      [586, 304],
    ],
    ...{ label: '', at: [0, 0], kind: 'aside' },
  },
  {
    points: [
      [790, 304],
      [790, 272],
      [616, 272],
      [616, 244],
    ],
    ...{ label: '', at: [0, 0], kind: 'aside' },
  },
]

const FILLS = { ours: '#dbeafe', theirs: '#f5f5f5', hostile: '#fee2e2' } as const
const STROKES = { ours: '#1d4ed8', theirs: '#525252', hostile: '#b91c1c' } as const
const LINES = { request: '#1d4ed8', refused: '#b91c1c', aside: '#737373' } as const
const LINE_HEIGHT = 18

/** @returns The picture as one SVG document, readable on light and dark pages alike. */
export function picture(): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="The sidecar stands between an AWS load balancer and the application, in the same task or pod" font-family="system-ui, sans-serif" font-size="13" text-anchor="middle">`,
    `<defs>${Object.entries(LINES).map(head).join('')}</defs>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="8" fill="#ffffff"/>`,
    '<rect x="450" y="76" width="446" height="180" rx="8" fill="none" stroke="#525252" stroke-dasharray="6 4"/>',
    '<text x="826" y="96" fill="#525252">one task or pod</text>',
    ...ARROWS.map(drawArrow),
    ...BOXES.map(drawBox),
    '</svg>',
    '',
  ].join('\n')
}

function head([kind, colour]: readonly [string, string]): string {
  return `<marker id="${kind}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="${colour}"/></marker>`
}

function drawBox({ x, y, width, height, lines, kind }: Box): string {
  const top = y + (height - lines.length * LINE_HEIGHT) / 2 + LINE_HEIGHT - 5
  const texts = lines.map((line, nth) => {
    const weight = nth === 0 ? ' font-weight="600"' : ' fill="#404040"'
    return `<text x="${x + width / 2}" y="${top + nth * LINE_HEIGHT}"${weight}>${line}</text>`
  })
  const rect = `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" fill="${FILLS[kind]}" stroke="${STROKES[kind]}"/>`
  return [rect, ...texts].join('')
}

function drawArrow({ points, label, at: [x, y], kind }: Arrow): string {
  const path = points.map(point => point.join(' ')).join(' ')
  const line = `<polyline points="${path}" fill="none" stroke="${LINES[kind]}" stroke-width="1.5" marker-end="url(#${kind})"/>`
  if (label === '') return line
  return `${line}<text x="${x}" y="${y}" font-size="12" fill="${LINES[kind]}">${label}</text>`
}
