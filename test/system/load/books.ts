//! What a sender's and a backend's logs say, put side by side: what was lost, what came twice and why, and how long it took.
import { readFileSync } from 'node:fs'
import type { Range } from './ids.ts'
import { LOST } from './sender.ts'

export interface Compared {
  /** Spans of requests that were answered with success. */
  readonly acknowledged: number
  /** Distinct spans that the backend has taken, or left without an answer. */
  readonly arrived: number
  /** Distinct spans that the backend has answered with success. */
  readonly taken: number
  /** Acknowledged, and never taken: a backend that left it without an answer may have nothing. */
  readonly lost: readonly number[]
  /** Arrived, and never sent: the numbers would be wrong. */
  readonly strangers: number
  /** How often a span came again. */
  readonly again: {
    /** Its record waited on disk when the life before was killed: its export had no recorded answer. */
    readonly waited: number
    /** The sender had sent it again for lack of an answer, so there was another record. */
    readonly resent: number
    readonly unexplained: readonly number[]
  }
  /** Waited on disk at a kill although what the backend had said must have been recorded by then. */
  readonly unrecorded: readonly number[]
  /** The longest time before a kill at which the backend had answered for something that still waited on disk at the kill. */
  readonly recordedWithinMs: number
  /** Spans of the requests and exports of the last life, what came twice included: what its own accounts must say. */
  readonly last: { readonly accepted: number; readonly unanswered: number; readonly sent: number }
  /** From the first attempt of the sender to the first arrival, in milliseconds, one for each span, sorted. */
  readonly delaysMs: Float64Array
}

/** A process of Otlier that was killed. */
export interface Life {
  /** When it was surely gone, on the shared clock. */
  readonly endMs: number
  /** The spans that waited on its disk then, record by record. */
  readonly waiting: readonly Range[]
}

export interface CompareOptions {
  /** In their order. What comes says in which of them it was sent; the number of the last, which was not killed, is theirs. */
  readonly lives?: readonly Life[]
  /** Only spans whose first attempt was in this span of time count for the delays. */
  readonly fromMs?: number
  readonly toMs?: number
}

interface Attempt {
  readonly fromMs: number
  toMs: number
  code: number
}

interface Request {
  readonly ids: Range
  readonly attempts: Attempt[]
}

interface Arrival {
  readonly atMs: number
  readonly ids: readonly Range[]
  readonly life: number
  answeredMs: number
  kind: string
}

const MAX_NAMED = 20
/** Answers after which a backend has taken what it was sent, as senders must assume. */
const TAKEN = new Set(['ok', 'partial', 'garbage', 'huge'])
const NEVER = Number.NEGATIVE_INFINITY

/**
 * What may come in one life of Otlier are the records that it has found on disk, each once, and those that senders have given
 * it, each once. What had come before is there again only because its record waited on disk at the kill, or because it was
 * sent again. In the same way what waits on disk at its end are those records, without those whose answers were recorded.
 */
export function compareLogs(
  senders: readonly string[],
  recorder: string,
  options: CompareOptions = {},
): Compared {
  const { lives = [], fromMs = 0, toMs = Number.POSITIVE_INFINITY } = options
  const requests = senders.flatMap(readSender)
  const all = readRecorder(recorder)
  const highest = requests.reduce((most, { ids }) => Math.max(most, ids[1]), 0)
  // By the number of the span; request -1 is none.
  const sentBy = new Int32Array(highest + 1).fill(-1)
  const hasCome = new Uint8Array(highest + 1)
  const isTaken = new Uint8Array(highest + 1)
  for (const [at, { ids }] of requests.entries()) for (let id = ids[0]; id <= ids[1]; id++) sentBy[id] = at
  const given = requests.map(({ attempts }) => attempts.filter(mayBeKept).map(({ fromMs }) => lifeAt(fromMs)))
  const accepted = requests.flatMap(({ attempts }) => attempts.filter(({ code }) => code === 0))
  const acceptedIn = Map.groupBy(accepted, ({ fromMs }) => lifeAt(fromMs))

  const delays: number[] = []
  const unexplained: number[] = []
  const unrecorded: number[] = []
  let [arrived, taken, strangers, waited, resent, recordedWithinMs] = [0, 0, 0, 0, 0, 0]
  const ofLife = Map.groupBy(all, ({ life }) => life)
  for (let life = 0; life <= lives.length; life++) {
    const found = copies(lives[life - 1]?.waiting ?? [])
    const came = new Map<number, { count: number; readonly answersMs: number[] }>()
    const arrivals = ofLife.get(life) ?? []
    for (const { ids, atMs, answeredMs, kind } of arrivals) {
      const isUnanswered = kind === ''
      if (!isUnanswered && !TAKEN.has(kind)) continue
      for (const id of each(ids)) {
        const request = requests[sentBy[id] ?? -1]
        if (request === undefined) {
          strangers++
          continue
        }
        const its = came.get(id) ?? { count: 0, answersMs: [] }
        came.set(id, its)
        its.count++
        if (!isUnanswered) its.answersMs.push(answeredMs)
        if (!isUnanswered && isTaken[id] === 0) {
          isTaken[id] = 1
          taken++
        }
        if (hasCome[id] === 0) {
          hasCome[id] = 1
          arrived++
          const firstMs = request.attempts[0].fromMs
          if (firstMs >= fromMs && firstMs <= toMs) delays.push(atMs - firstMs)
        } else if (its.count <= (found.get(id) ?? 0)) waited++
        else if (its.count <= (found.get(id) ?? 0) + givenIn(life, id)) resent++
        else unexplained.push(id)
      }
    }
    const killed = lives[life]
    if (killed === undefined) continue
    const surelyMs = recordedBefore(acceptedIn.get(life) ?? [], arrivals, killed.endMs)
    for (const [id, left] of copies(killed.waiting)) {
      const answersMs = (came.get(id)?.answersMs ?? []).sort((one, other) => one - other)
      const records = (found.get(id) ?? 0) + givenIn(life, id)
      // With as many records as are left, the oldest answers are those that are recorded.
      const recorded = answersMs.filter(ms => ms < surelyMs).length
      if (left + recorded > records) unrecorded.push(id)
      for (const ms of answersMs.slice(Math.max(0, records - left)))
        recordedWithinMs = Math.max(recordedWithinMs, killed.endMs - ms)
    }
  }

  /** The first that was not gone yet. */
  function lifeAt(ms: number): number {
    let [from, to] = [0, lives.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if (lives[middle].endMs < ms) from = middle + 1
      else to = middle
    }
    return from
  }

  /** The records that a span may have got in a life from its sender. */
  function givenIn(life: number, id: number): number {
    return (given[sentBy[id] ?? -1] ?? []).filter(at => at === life).length
  }

  const lost: number[] = []
  let acknowledged = 0
  const last = { accepted: 0, unanswered: 0, sent: 0 }
  for (const { ids, kind } of ofLife.get(lives.length) ?? [])
    if (TAKEN.has(kind)) for (const _ of each(ids)) last.sent++
  for (const { ids, attempts } of requests) {
    for (const one of attempts.filter(({ fromMs }) => lifeAt(fromMs) === lives.length)) {
      if (one.code === 0) last.accepted += ids[1] - ids[0] + 1
      else if (mayBeKept(one)) last.unanswered += ids[1] - ids[0] + 1
    }
    if (!attempts.some(({ code }) => code === 0)) continue
    for (let id = ids[0]; id <= ids[1]; id++) {
      acknowledged++
      if (isTaken[id] === 0) lost.push(id)
    }
  }
  const again = { waited, resent, unexplained }
  const delaysMs = Float64Array.from(delays).sort()
  return {
    acknowledged,
    arrived,
    taken,
    lost,
    strangers,
    again,
    unrecorded,
    recordedWithinMs,
    last,
    delaysMs,
  }
}

/** Whoever got another answer was told that nothing is kept. */
const mayBeKept = ({ code }: Attempt) => code === 0 || code === LOST || Number.isNaN(code)

/**
 * What the backend had answered before this moment is recorded at `endMs`, by the order of things alone: afterwards the backend
 * has done something else, so the answer had left it; and then senders have had two requests stored, synced and answered, one
 * after the other, by the Otlier to which the answer had gone. Two, because one write of what is recorded may be under way.
 */
function recordedBefore(accepted: readonly Attempt[], arrivals: readonly Arrival[], endMs: number): number {
  const latest = (beforeMs: number) =>
    accepted.reduce((ms, { fromMs, toMs }) => (toMs <= beforeMs ? Math.max(ms, fromMs) : ms), NEVER)
  const sinceMs = latest(latest(endMs))
  return arrivals.reduce((ms, { atMs }) => (atMs <= sinceMs ? Math.max(ms, atMs) : ms), NEVER)
}

function* each(ranges: readonly Range[]): Generator<number> {
  for (const [first, last] of ranges) for (let id = first; id <= last; id++) yield id
}

/** How often each number stands there. */
function copies(ranges: readonly Range[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const id of each(ranges)) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

function readSender(path: string): Request[] {
  const requests: Request[] = []
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const [kind, number, nth, ms, rest] = line.split(' ')
    const at = Number(number)
    if (kind === 's') {
      requests[at] ??= { ids: rangeOf(rest), attempts: [] }
      requests[at].attempts[Number(nth)] = {
        fromMs: Number(ms),
        toMs: Number.POSITIVE_INFINITY,
        code: Number.NaN,
      }
    } else if (kind === 'a')
      Object.assign(requests[at].attempts[Number(nth)], { toMs: Number(ms), code: Number(rest) })
  }
  return requests
}

/** In the order in which they came. What was never answered has the kind '' and was answered at infinity. */
function readRecorder(path: string): Arrival[] {
  const arrivals = new Map<string, Arrival>()
  let run = 0
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const [kind, number, ms, rest = '', life = '0'] = line.split(' ')
    // A backend that was started again counts from the beginning.
    if (kind === 'r' && number === '0') run++
    const key = `${run}/${number}`
    if (kind === 'r') {
      const ids = rest === '' ? [] : rest.split(',').map(rangeOf)
      const unanswered = { answeredMs: Number.POSITIVE_INFINITY, kind: '' }
      arrivals.set(key, { atMs: Number(ms), ids, life: Number(life), ...unanswered })
    } else if (kind === 'w') {
      const arrival = arrivals.get(key)
      if (arrival !== undefined) Object.assign(arrival, { answeredMs: Number(ms), kind: rest })
    }
  }
  return [...arrivals.values()]
}

const rangeOf = (text: string): Range => {
  const [first, last] = text.split('-').map(Number)
  return [first, last]
}

/** The value that the share `q` does not exceed. NaN of nothing. */
export const quantile = (sorted: Float64Array, q: number): number =>
  sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]

/** In a sentence, for reports of programs. */
export function told({ acknowledged, arrived, lost, again, unrecorded, recordedWithinMs }: Compared): string {
  const named = (ids: readonly number[]) =>
    ids.length === 0 ? '0' : `${ids.length} (${ids.slice(0, MAX_NAMED).join(' ')})`
  return (
    `${acknowledged} acknowledged, ${arrived} arrived, lost ${named(lost)}; came again: ${again.waited} waited on disk at a kill ` +
    `(answers were recorded within ${recordedWithinMs.toFixed(0)} ms, and later than they must be ${named(unrecorded)}), ` +
    `${again.resent} sent again by the sender, unexplained ${named(again.unexplained)}`
  )
}
