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
  /** Acknowledged, and never arrived. */
  readonly lost: readonly number[]
  /** Arrived, and never sent: the numbers would be wrong. */
  readonly strangers: number
  /** How often a span came again. */
  readonly again: {
    /** The export before had no recorded answer at a kill that came in between. */
    readonly openAtKill: number
    /** The sender had sent it again for lack of an answer. */
    readonly resent: number
    readonly unexplained: readonly number[]
    /** The longest time for which an answer was taken to be under way at a kill. */
    readonly noticeMs: number
  }
  /** From the first attempt of the sender to the first arrival, in milliseconds, one for each span, sorted. */
  readonly delaysMs: Float64Array
}

interface Attempts {
  readonly ids: Range
  readonly firstMs: number
  /** Attempts that had no answer, by the time of the next attempt. */
  lost: number
  lastMs: number
  isAccepted: boolean
  acceptedMs: number
  /** From the attempt that was accepted to its answer. */
  tookMs: number
}

interface Arrival {
  readonly atMs: number
  readonly ids: readonly Range[]
  answeredMs: number
  kind: string
}

export interface CompareOptions {
  /** When Otlier was killed, on the shared clock. */
  readonly killsMs?: readonly number[]
  /** Only spans whose first attempt was in this span of time count for the delays. */
  readonly fromMs?: number
  readonly toMs?: number
}

/** What had been written before a kill may be read so much later. */
const UNDERWAY_MS = 1000
const MAX_NAMED = 20
/** What is recorded of an answer goes to the disk as what senders are told of does: their answers say how long that takes. */
const NOTICE_MS = 200
const LOOK_BACK_MS = 3000
/** Answers after which a backend has taken what it was sent, as senders must assume. */
const TAKEN = new Set(['ok', 'partial', 'garbage', 'huge'])

export function compareLogs(
  senders: readonly string[],
  recorder: string,
  options: CompareOptions = {},
): Compared {
  const { killsMs = [], fromMs = 0, toMs = Number.POSITIVE_INFINITY } = options
  const requests = senders.flatMap(readSender)
  const arrivals = readRecorder(recorder)
  const kills = killsMs.map(atMs => ({ atMs, noticeMs: noticeBefore(atMs, requests) }))
  const highest = requests.reduce((most, { ids }) => Math.max(most, ids[1]), 0)
  // By the number of the span; request -1 is none.
  const sentBy = new Int32Array(highest + 1).fill(-1)
  const cameWith = new Int32Array(highest + 1).fill(-1)
  const isTaken = new Uint8Array(highest + 1)
  for (const [at, { ids }] of requests.entries()) for (let id = ids[0]; id <= ids[1]; id++) sentBy[id] = at

  const delays: number[] = []
  const unexplained: number[] = []
  let [arrived, taken, strangers, openAtKill, resent] = [0, 0, 0, 0, 0]
  const resendsUsed = new Map<number, number>()
  /** Of what has come more than once: the arrivals that have excused no other. */
  const earlier = new Map<number, number[]>()
  for (const [at, arrival] of arrivals.entries()) {
    const isUnanswered = arrival.kind === ''
    if (!isUnanswered && !TAKEN.has(arrival.kind)) continue
    for (const [first, last] of arrival.ids) {
      for (let id = first; id <= last; id++) {
        const request = requests[sentBy[id] ?? -1]
        if (request === undefined) {
          strangers++
          continue
        }
        if (!isUnanswered && isTaken[id] === 0) {
          isTaken[id] = 1
          taken++
        }
        if (cameWith[id] === -1) {
          cameWith[id] = at
          arrived++
          if (request.firstMs >= fromMs && request.firstMs <= toMs)
            delays.push(arrival.atMs - request.firstMs)
          continue
        }
        // What a sender sends again may be in the queue twice: each arrival excuses one other.
        const unused = earlier.get(id) ?? [cameWith[id]]
        const excuse = unused.findIndex(before =>
          kills.some(kill => kill.atMs >= request.firstMs && wasOpen(arrivals[before], kill, arrival)),
        )
        if (excuse >= 0) {
          unused.splice(excuse, 1)
          openAtKill++
        } else if ((resendsUsed.get(id) ?? 0) < request.lost) {
          resendsUsed.set(id, (resendsUsed.get(id) ?? 0) + 1)
          resent++
        } else unexplained.push(id)
        earlier.set(id, [...unused, at])
      }
    }
  }
  const lost: number[] = []
  let acknowledged = 0
  for (const { ids, isAccepted } of requests) {
    if (!isAccepted) continue
    for (let id = ids[0]; id <= ids[1]; id++) {
      acknowledged++
      if (cameWith[id] === -1) lost.push(id)
    }
  }
  const noticeMs = kills.reduce((most, kill) => Math.max(most, kill.noticeMs), 0)
  const again = { openAtKill, resent, unexplained, noticeMs }
  return { acknowledged, arrived, taken, lost, strangers, again, delaysMs: Float64Array.from(delays).sort() }
}

interface Kill {
  readonly atMs: number
  readonly noticeMs: number
}

/** What the backend answered longer than this before a kill has been recorded: a write of that time, twice, and a little. */
function noticeBefore(killMs: number, requests: readonly Attempts[]): number {
  let longestMs = 0
  for (const { acceptedMs, tookMs } of requests)
    if (acceptedMs > killMs - LOOK_BACK_MS && acceptedMs <= killMs) longestMs = Math.max(longestMs, tookMs)
  return NOTICE_MS + 2 * longestMs
}

const wasOpen = (before: Arrival, { atMs, noticeMs }: Kill, after: Arrival) =>
  before.atMs <= atMs + UNDERWAY_MS && atMs <= after.atMs && before.answeredMs > atMs - noticeMs

const UNANSWERED = { lost: 0, lastMs: 0, isAccepted: false, acceptedMs: 0, tookMs: 0 }

function readSender(path: string): Attempts[] {
  const requests: Attempts[] = []
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const [kind, number, , ms, rest] = line.split(' ')
    const at = Number(number)
    const atMs = Number(ms)
    if (kind === 's') {
      requests[at] ??= { ids: rangeOf(rest), firstMs: atMs, ...UNANSWERED }
      requests[at].lastMs = atMs
    } else if (kind === 'a') {
      const request = requests[at]
      if (Number(rest) === LOST) request.lost++
      if (rest === '0')
        Object.assign(request, { isAccepted: true, acceptedMs: atMs, tookMs: atMs - request.lastMs })
    }
  }
  return requests
}

/** In the order in which they came. What was never answered has the kind '' and was answered at infinity. */
function readRecorder(path: string): Arrival[] {
  const arrivals = new Map<string, Arrival>()
  let run = 0
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const [kind, number, ms, rest = ''] = line.split(' ')
    // A backend that was started again counts from the beginning.
    if (kind === 'r' && number === '0') run++
    const key = `${run}/${number}`
    if (kind === 'r') {
      const ids = rest === '' ? [] : rest.split(',').map(rangeOf)
      arrivals.set(key, { atMs: Number(ms), ids, answeredMs: Number.POSITIVE_INFINITY, kind: '' })
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
export function told({ acknowledged, arrived, lost, again }: Compared): string {
  const named = (ids: readonly number[]) =>
    ids.length === 0 ? '0' : `${ids.length} (${ids.slice(0, MAX_NAMED).join(' ')})`
  return (
    `${acknowledged} acknowledged, ${arrived} arrived, lost ${named(lost)}; came again: ${again.openAtKill} open at a kill ` +
    `(answers count as recorded after at most ${again.noticeMs.toFixed(0)} ms), ${again.resent} sent again by the sender, unexplained ${named(again.unexplained)}`
  )
}
