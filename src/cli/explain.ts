/**
 * `explain`: reads its arguments, keys and input, and has the gate asked about what was pasted.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Config, LoadedConfig } from '../config/config.ts'
import { EXIT } from '../core/exit.ts'
import { expected } from '../core/expected.ts'
import { accessTokenIssuers, createGate, type Keys } from '../gate.ts'
import { looksLikeJwt } from '../tokens/access-token.ts'
import { keyUrl } from '../tokens/alb-arn.ts'
import { discoveryUrl } from '../tokens/jwks.ts'
import { readLeniently } from './evidence.ts'
import { explainPath } from './explain-path.ts'
import { explainAccessToken, explainRequest } from './explain-request.ts'
import { readMoment, showMoment } from './moment.ts'
import { offlineKeys } from './offline-keys.ts'
import { createPage, type Page } from './page.ts'
import { createPaint } from './paint.ts'
import { readPasted, type Pasted, type PastedRequest } from './pasted.ts'
import { createRecord } from './record.ts'
import { showUrl } from './show-url.ts'
import { SILENT } from './silent.ts'
import { Usage, type Terminal } from './terminal.ts'

/** Longest input that is read, in characters: a request has far fewer. */
const MAX_INPUT = 1_048_576

/**
 * @param args Behind `explain`.
 * @param load The configuration, once the arguments are understood.
 * @returns The exit code.
 * @throws {Usage} and whatever `load` throws.
 */
export async function explain(
  args: readonly string[],
  load: () => LoadedConfig,
  terminal: Terminal,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      at: { type: 'string' },
      key: { type: 'string', multiple: true },
    },
  })
  const [what, ...more] = positionals
  if (what === undefined) throw new Usage('explain takes a file, - or path')
  if (what !== 'path' && more.length > 0) throw new Usage('explain takes one file')
  const now = values.at === undefined ? terminal.clock.wallSeconds() : readMoment(values.at)
  const { config } = load()
  const keys = values.key === undefined ? undefined : readKeys(values.key)
  const gate = await createGate(config, {
    clock: { ...terminal.clock, wallSeconds: () => now },
    telemetry: SILENT,
    ...(keys && { keys }),
  })
  if (what === 'path') {
    explainPath(more, config, gate.steps, terminal, values.json === true)
    return EXIT.fine
  }

  const pasted = readPasted(await readInput(what, terminal))
  if (typeof pasted === 'string') throw new Usage(`the input ${pasted}`)
  const about = {
    ...{ config, now },
    albKeySource: keys === undefined ? albKeySource(config) : '--key',
    accessKeySource: keys === undefined ? accessKeySource(config) : '--key',
  }
  const tell = (page: Page) => {
    page.say(`at ${showMoment(now)}`)
    if (!isAccessToken(pasted)) return explainRequest(asRequest(pasted), gate, about, page)
    page.say('no signer in its header: taken for the access token (x-amzn-oidc-accesstoken) alone')
    return explainAccessToken(pasted.token, gate, about, page)
  }
  if (values.json !== true) {
    return tell(createPage(terminal.print, createPaint(terminal.isScreen, terminal.environment)))
  }
  const record = createRecord()
  const code = await tell(record)
  const report = {
    version: terminal.version,
    goesOn: code === EXIT.fine,
    ...record.explanation(),
  }
  terminal.print(`${JSON.stringify(report, null, 2)}\n`)
  return code
}

/** A load balancer names itself in every token it signs; an identity provider does not. */
function isAccessToken(pasted: Pasted): pasted is Extract<Pasted, { kind: 'token' }> {
  if (pasted.kind !== 'token' || !looksLikeJwt(pasted.token)) return false
  return !Object.hasOwn(readLeniently(pasted.token).header, 'signer')
}

function asRequest(pasted: Pasted): PastedRequest {
  if (pasted.kind === 'request') return pasted
  const headers = ['Host', 'localhost', 'X-Amzn-Oidc-Data', pasted.token]
  return { kind: 'request', method: 'GET', target: '/', headers, isWhole: false }
}

function readKeys(files: readonly string[]): Keys {
  const keys = offlineKeys(files.map(name => ({ name, text: readText(name, 'the --key file') })))
  if (typeof keys === 'string') throw new Usage(keys)
  return keys
}

async function readInput(file: string, { readInput: readStandard }: Terminal): Promise<string> {
  if (file !== '-' && looksLikeJwt(file)) {
    throw new Usage('give the token in a file or through -: arguments are for every process to see')
  }
  const text = file === '-' ? await readStandard() : readText(file, 'the input')
  if (text.length <= MAX_INPUT) return text
  throw new Usage(`the input is longer than ${MAX_INPUT} characters`)
}

function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Usage(`${what} cannot be read: ${expected(error, Error).message}`)
  }
}

function albKeySource(config: Config): string {
  const urls = config.albArns.map(arn => keyUrl(arn, '<kid>', config.keyUrl))
  const sources = [
    ...(config.keySeeds === undefined ? [] : ['ALB_KEYS_DIR']),
    ...new Set(urls),
  ].filter(source => source !== undefined)
  return sources.map(showUrl).join(' or ')
}

function accessKeySource(config: Config): string {
  const [issuer = ''] = accessTokenIssuers(config)
  return showUrl(config.accessTokenJwksUrl ?? discoveryUrl(issuer))
}
