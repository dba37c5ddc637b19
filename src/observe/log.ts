/**
 * The log: JSON lines on standard output, made from an allow-list of fields.
 *
 * A settled request is described by what was decided, never by what it carried: no token, no cookie,
 * no query string, and on an open route not even the path, which may hold a secret of its own
 * (ConsoleMe's challenge tokens do).
 */
import { pino, type DestinationStream, type Logger } from 'pino'
import type { Reason } from '../core/reasons.ts'
import type { Settled } from '../core/settled.ts'
import type { Telemetry } from '../core/telemetry.ts'

export interface LogOptions {
  readonly level: string
  readonly format: 'json' | 'pretty'
  readonly accessLog: 'rejections' | 'all' | 'off'
  readonly logSubject: boolean
  readonly destination: DestinationStream
  /** The process that writes, where several write to one log. */
  readonly worker?: number
}

export interface Log {
  readonly logger: Logger
  /** Writes the line of a settled request, if it is to have one. */
  readonly settled: (record: Settled) => void
  /** Writes the line of what could not become a request. */
  readonly refused: (requestId: string, reason: Reason) => void
  readonly telemetry: Pick<Telemetry, 'keyFetched' | 'upstreamFailed'>
}

/** Longest path that is written. */
const MAX_PATH = 256

export function createLog(options: LogOptions): Log {
  const { format, destination, worker } = options
  const base = worker === undefined ? null : { worker }
  const logger = pino(
    { level: options.level, base, timestamp: pino.stdTimeFunctions.isoTime },
    format === 'pretty' ? prettily(asAscii(destination)) : asAscii(destination),
  )
  return {
    logger,
    settled(record) {
      const { verdict, fault } = record
      if (fault !== undefined) {
        logger.error({ ...fieldsOf(record), err: fault }, 'internal error')
      } else if (options.accessLog === 'all' || isRefusal(record)) {
        if (options.accessLog === 'off') return
        const subject = verdict.outcome === 'authenticated' ? verdict.identity.subject : undefined
        const named = options.logSubject && subject !== undefined ? { subject } : {}
        logger.info({ ...fieldsOf(record), ...named }, 'request')
      }
    },
    refused(requestId, reason) {
      if (options.accessLog === 'off') return
      logger.info({ requestId, verdict: 'rejected', reason, source: 'none' }, 'no request')
    },
    telemetry: {
      keyFetched(keys, outcome, seconds, detail) {
        const fields = { keys, outcome, seconds: rounded(seconds), detail }
        if (outcome === 'ok' || outcome === 'unknown') logger.info(fields, 'key fetched')
        else logger.warn(fields, 'key not fetched')
      },
      upstreamFailed(kind, detail) {
        logger.warn({ kind, detail }, 'application failed')
      },
    },
  }
}

/** A request that was turned away, or whose token was not believed. */
function isRefusal({ verdict, ignored, wouldReject }: Settled): boolean {
  return verdict.outcome === 'rejected' || (ignored ?? wouldReject) !== undefined
}

/** The allow-list. */
function fieldsOf(record: Settled) {
  const { verdict, ignored, wouldReject, route, rule, path, method, status, cutShort } = record
  const why = verdict.outcome === 'rejected' ? verdict : (wouldReject ?? ignored)
  return {
    requestId: record.requestId(),
    verdict: verdict.outcome,
    ...(why && { reason: why.reason, source: why.source ?? 'none', detail: why.detail }),
    ...(wouldReject && { wouldReject: true }),
    route,
    rule,
    path: path?.slice(0, MAX_PATH),
    method,
    status,
    ...(cutShort && { cutShort }),
    ms: rounded(record.totalSeconds * 1000),
  }
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}

/**
 * JSON may hold C1 controls, by which a terminal is told what to do, and line ends of Unicode's own as
 * they are. Here they are escaped with everything else that is not ASCII, which every reader undoes.
 */
function asAscii(destination: DestinationStream): DestinationStream {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return {
    write(line: string) {
      destination.write(line.replace(/[\x7f-\uffff]/g, escaped))
    },
  }
}

/** One readable line per record: time, level, message, and the rest as `key=value`. */
function prettily(destination: DestinationStream): DestinationStream {
  return {
    write(line: string) {
      const record: unknown = JSON.parse(line)
      const fields = new Map<string, unknown>(Object.entries(Object.assign({}, record)))
      const { time, level, msg, ...rest } = Object.fromEntries(fields)
      const details = Object.entries(rest).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
      const label = pino.levels.labels[Number(level)] ?? ''
      destination.write(`${String(time)} ${label.padEnd(5)} ${String(msg)} ${details.join(' ')}\n`)
    },
  }
}
