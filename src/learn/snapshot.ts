//! Models on disk: written whole or not at all, restored on start, set aside when damaged.
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32, zstdCompress, zstdDecompressSync } from 'node:zlib'
import { doubles } from '../base/doubles.ts'
import type { Log } from '../base/log.ts'
import { LAST_BUCKET, Sketch } from '../base/sketch.ts'
import type { World } from '../base/world.ts'
import type { SeriesKey } from '../bus/bus.ts'
import { Summary } from '../detect/summary.ts'
import { pack, unpack } from './learned.ts'
import type { Hold, SeriesState } from './learner.ts'

const FILE = 'models.otlier'
/** Eight bytes: what this file is, and the version of its format. */
const MAGIC = 'OTLMOD01'
/** A file cannot claim more than this once unpacked. */
const MAX_BYTES = 1 << 30
/** Older than this, what was normal then says little. */
const MAX_AGE_MS = 14 * 24 * 3600_000

interface Stored {
  readonly savedMs: number
  readonly series: readonly StoredSeries[]
}
interface StoredSeries {
  readonly key: SeriesKey
  readonly generation: number
  readonly untilMs: number
  /** Missing in what earlier versions wrote. */
  readonly idleHours?: number
  readonly latency: {
    readonly within: StoredSketch
    readonly beyond: StoredSketch
    readonly limitNs: number | null
  }
  readonly failure: { readonly spans: number; readonly failures: number }
  readonly latencyHold: StoredHold | null
  readonly failureHold: StoredHold | null
}
/** The first bucket, then the weights up to the last that is not zero. */
type StoredSketch = readonly number[]
interface StoredHold {
  readonly sinceMs: number
  readonly untilMs: number
  readonly calm: number
  readonly count: number
  readonly failures: number
  readonly within: StoredSketch
  readonly beyond: StoredSketch
}

const squeeze = promisify(zstdCompress)
/** After so many series whatever waits gets its turn: 20,000 at once would hold up every request for a second (measured). */
const SERIES_A_TURN = 100

/**
 * Header, checksum, zstd of JSON. Plain numbers only: a snapshot of one machine is read by any other.
 * @param turn resolves when others have had theirs
 */
export async function encodeSnapshot(
  states: Iterable<SeriesState>,
  savedMs: number,
  turn: () => Promise<void>,
): Promise<Uint8Array> {
  const texts: string[] = []
  for (const state of states) {
    texts.push(JSON.stringify(storeSeries(state)))
    if (texts.length % SERIES_A_TURN === 0) await turn()
  }
  return seal(MAGIC, `{"savedMs":${savedMs},"series":[${texts.join()}]}`)
}

/** Eight bytes that say what it is, a checksum, and the text in zstd. */
export async function seal(magic: string, text: string): Promise<Uint8Array> {
  const body = await squeeze(text)
  const head = Buffer.alloc(12)
  head.write(magic, 'latin1')
  head.writeUInt32LE(crc32(body), 8)
  return Buffer.concat([head, body])
}

/** The text of what `seal` made, or the reason why it cannot be read. The last two of the eight bytes are the version. */
export function unseal(magic: string, bytes: Uint8Array): { text: string } | { wrong: string } {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (head.length < 12 || head.toString('latin1', 0, 6) !== magic.slice(0, 6))
    return { wrong: 'it is no model file' }
  if (head.toString('latin1', 0, 8) !== magic)
    return { wrong: `its format is ${head.toString('latin1', 6, 8)}, this version reads ${magic.slice(6)}` }
  const body = head.subarray(12)
  if (crc32(body) !== head.readUInt32LE(8)) return { wrong: 'its checksum does not match' }
  try {
    return { text: zstdDecompressSync(body, { maxOutputLength: MAX_BYTES }).toString() }
  } catch (error) {
    return { wrong: `it cannot be unpacked (${(error as Error).message})` }
  }
}

/** The states of a snapshot, or the reason why it cannot be read. */
export function decodeSnapshot(
  bytes: Uint8Array,
): { savedMs: number; states: SeriesState[] } | { wrong: string } {
  const opened = unseal(MAGIC, bytes)
  if ('wrong' in opened) return opened
  try {
    const stored = JSON.parse(opened.text) as Stored
    return { savedMs: stored.savedMs, states: stored.series.map(loadSeries) }
  } catch (error) {
    return { wrong: `it cannot be unpacked (${(error as Error).message})` }
  }
}

/**
 * Reads the snapshot of a directory: at most the `most` series that were seen last, or over many restarts those that never
 * come back would pile up. What cannot be used is renamed, said in the log, and never stops the start.
 */
export async function restoreSnapshot(
  directory: string,
  most: number,
  world: World,
  log: Log,
): Promise<SeriesState[]> {
  const path = join(directory, FILE)
  try {
    const bytes = await world.disk.read(path)
    if (bytes === null) return []
    const snapshot = decodeSnapshot(bytes)
    if ('wrong' in snapshot) {
      const aside = `${path}.unreadable-${world.now()}`
      await world.disk.rename(path, aside)
      log.warn(
        { path: aside, reason: snapshot.wrong },
        'the saved models were set aside; learning starts anew',
      )
      return []
    }
    const ageMs = world.now() - snapshot.savedMs
    if (ageMs > MAX_AGE_MS) {
      log.warn({ path, ageMs }, 'the saved models are older than two weeks; learning starts anew')
      return []
    }
    return snapshot.states.toSorted((a, b) => b.untilMs - a.untilMs).slice(0, most)
  } catch (error) {
    log.warn({ path, error }, 'the saved models could not be read; learning starts anew')
    return []
  }
}

/** Writes the snapshot; a disk that fails is told of and changes nothing else. */
export async function saveSnapshot(
  directory: string,
  states: Iterable<SeriesState>,
  world: World,
  log: Log,
): Promise<void> {
  const path = join(directory, FILE)
  try {
    const bytes = await encodeSnapshot(states, world.now(), () => world.sleep(0))
    await world.disk.writeAtomic(path, bytes)
  } catch (error) {
    log.warn({ path, error }, 'the models could not be saved')
  }
}

function storeSketch(sketch: Sketch): StoredSketch {
  let last = sketch.counts.length
  while (last > 0 && sketch.counts[last - 1] === 0) last--
  let first = 0
  while (first < last && sketch.counts[first] === 0) first++
  const out = [sketch.first + first]
  for (let i = first; i < last; i++) out.push(Math.round(sketch.counts[i] * 1e6) / 1e6)
  return out
}

function loadSketch(stored: StoredSketch): Sketch {
  const isWhole = Array.isArray(stored) && stored.every(Number.isFinite)
  if (!isWhole || stored[0] < 0 || stored[0] + stored.length - 1 > LAST_BUCKET + 1)
    throw new Error('a histogram is damaged')
  const counts = doubles(stored.length - 1)
  for (let at = 1; at < stored.length; at++) counts[at - 1] = stored[at]
  return new Sketch(
    counts,
    stored[0],
    counts.reduce((sum, count) => sum + count, 0),
  )
}

const storeHold = (hold: Hold | null): StoredHold | null =>
  hold === null
    ? null
    : {
        sinceMs: hold.sinceMs,
        untilMs: hold.untilMs,
        calm: hold.calm,
        count: hold.held.count,
        failures: hold.held.failures,
        within: storeSketch(hold.held.within),
        beyond: storeSketch(hold.held.beyond),
      }

function loadHold(stored: StoredHold | null): Hold | null {
  if (stored === null) return null
  const held = new Summary()
  held.count = stored.count
  held.failures = stored.failures
  held.within.merge(loadSketch(stored.within))
  held.beyond.merge(loadSketch(stored.beyond))
  return { sinceMs: stored.sinceMs, untilMs: stored.untilMs, calm: stored.calm, held }
}

function storeSeries(state: SeriesState): StoredSeries {
  const { within, beyond, limitNs, spans, failures } = unpack(state.learned)
  return {
    key: state.key,
    generation: state.generation,
    untilMs: state.untilMs,
    idleHours: state.idleHours,
    latency: {
      within: storeSketch(within),
      beyond: storeSketch(beyond),
      limitNs: Number.isFinite(limitNs) ? limitNs : null,
    },
    failure: { spans, failures },
    latencyHold: storeHold(state.latencyHold),
    failureHold: storeHold(state.failureHold),
  }
}

const loadSeries = (stored: StoredSeries): SeriesState => ({
  key: stored.key,
  generation: stored.generation,
  untilMs: stored.untilMs,
  idleHours: stored.idleHours ?? 0,
  learned: pack({
    within: loadSketch(stored.latency.within),
    beyond: loadSketch(stored.latency.beyond),
    limitNs: stored.latency.limitNs ?? Number.POSITIVE_INFINITY,
    spans: stored.failure.spans,
    failures: stored.failure.failures,
  }),
  latencyHold: loadHold(stored.latencyHold),
  failureHold: loadHold(stored.failureHold),
})
