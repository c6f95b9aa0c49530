//! A recording backend in a process of its own: writes down every span that comes and every answer that goes, and behaves as it is told.
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Reply, startBackend } from '../../kit/backend.ts'
import { seeded } from '../../kit/random.ts'
import { answering, clockMs } from './answering.ts'
import { countOf, idsIn, type Range } from './ids.ts'

/** How it answers from now on. */
export interface Behaviour {
  readonly reply: Reply
  /** This share of the requests is answered so, the others with success. All of them unless given. */
  readonly share?: number
  /** Every answer takes this long, and up to as much again. */
  readonly delayMs?: number
}

export interface RecorderOptions {
  readonly log: string
  readonly grpcPort?: number
  readonly httpPort?: number
  readonly seed?: number
  readonly behaviour?: Behaviour
}

export interface Recorded {
  readonly requests: number
  /** Spans that came in, each as often as it came. */
  readonly spans: number
  /** Requests that have no answer yet. */
  readonly open: number
  /** Bytes of all requests, unpacked. */
  readonly bytes: number
}

/**
 * One line for each moment, in order:
 * `r NUMBER MS FIRST-LAST,... LIFE` a request has come in whole, with these spans, from this life of its sender;
 * `w NUMBER MS KIND` it is being answered.
 */
export const requestLine = (number: number, ms: number, ids: readonly Range[], life = '0') =>
  `r ${number} ${ms.toFixed(3)} ${ids.map(([first, last]) => `${first}-${last}`).join(',')} ${life}\n`

/** The header in which a sender that is started several times says which of them it is: a number from 0 on. */
export const LIFE_HEADER = 'x-life'

const SUCCESS: Reply = { kind: 'ok' }

async function record(options: RecorderOptions): Promise<void> {
  const random = seeded(options.seed ?? 1)
  const log = openSync(options.log, 'a')
  let behaviour = options.behaviour ?? { reply: SUCCESS }
  const counted = { requests: 0, spans: 0, open: 0, bytes: 0 }
  const backend = await startBackend({
    raw: true,
    keep: false,
    grpcPort: options.grpcPort ?? 0,
    httpPort: options.httpPort ?? 0,
    async script({ signal, bytes, headers }) {
      const number = counted.requests++
      counted.bytes += bytes.length
      const ids = signal === 'traces' ? idsIn(bytes) : []
      counted.spans += countOf(ids)
      writeSync(log, requestLine(number, clockMs(), ids, headers[LIFE_HEADER]))
      const { reply, share = 1, delayMs = 0 } = behaviour
      counted.open++
      if (delayMs > 0) await sleep(delayMs * (1 + random()))
      const chosen = random() < share ? reply : SUCCESS
      // One that hangs is open as long as it is.
      if (chosen.kind === 'hang') return chosen
      counted.open--
      writeSync(log, `w ${number} ${clockMs().toFixed(3)} ${said(chosen)}\n`)
      return chosen
    },
  })
  answering((question: { behave?: Behaviour } | 'recorded') => {
    if (question !== 'recorded' && question.behave !== undefined) behaviour = question.behave
    return counted satisfies Recorded
  })
  console.log(`grpc ${backend.grpcPort} http ${backend.httpPort}`)
}

const said = (reply: Reply) =>
  reply.kind === 'status'
    ? `status-${reply.code}`
    : reply.kind === 'http'
      ? `http-${reply.status}`
      : reply.kind

if (import.meta.main) await record(JSON.parse(process.argv[2]))
