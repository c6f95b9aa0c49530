//! What the laws of order are tried on: a small shop with two faults, sent in every order and by several receivers.
import { beforeAll, describe, expect, test } from 'vitest'
import { between, int, type Random, seeded } from '../kit/random.ts'
import { type Arrival, exportsOf, type Kind, receiving, type Sent, spansOf } from '../kit/stretch.ts'
import { drawFault } from '../world/faults.ts'
import { makeWorld } from '../world/world.ts'

const MINUTE_MS = 60_000
const FROM_MS = 12 * 60 * MINUTE_MS
const LATENESS_MS = 10_000
const EXPORT_MS = 5_000
/** Of all other chance. */
export const SEED: number = Number(process.env.OTLIER_SEED ?? 1)
console.log(`laws of order: OTLIER_SEED=${SEED}`)
/** One trace in so many, so that a run takes a moment. */
const THINNING = 5

/** A small shop at noon, with a slow service after ten minutes and failing requests after fourteen. */
export function trouble(seed: number): Sent[] {
  const world = makeWorld(seed, { services: 6, days: 1 })
  const at = (minutes: number) => FROM_MS + minutes * MINUTE_MS
  const faults = [
    drawFault(world.topology, 'slow dependency', at(10), 3 * MINUTE_MS, seed, 8),
    drawFault(world.topology, 'error burst', at(14), 3 * MINUTE_MS, seed + 1, 0.5),
  ]
  const stretch = { fromMs: FROM_MS, toMs: at(19), faults }
  return spansOf(world, stretch, trace => (trace >>> 8) % THINNING === 0)
}

/** How a stretch is sent. */
interface Way {
  readonly kind?: Kind
  /** Which worker each span goes to. */
  readonly worker?: (span: Sent) => number
  /** Wall-clock seconds for one of the recording, and between two ticks; null: no ticks, as in a replay. */
  readonly speed?: number
  readonly tickMs?: number | null
}

export async function tell(arrivals: readonly Arrival[], way: Way = {}) {
  const { kind = 'one', worker = () => 0, speed = 1, tickMs = 1000 } = way
  expect(arrivals.every(isInTime)).toBe(true)
  const to = receiving(kind, tickMs !== null)
  const workers = kind === 'one' ? 1 : 'planes' in kind ? kind.planes : kind.receivers
  const firstMs = arrivals[0].atMs
  // What is not sent as it happens is sent afterwards: the wall clock is then past all of it.
  const offsetMs = speed === 1 ? 0 : 3_600_000
  const wallAt = (ms: number) => firstMs + offsetMs + (ms - firstMs) * speed
  let tickedMs = wallAt(firstMs)
  for (const { atMs, spans } of arrivals) {
    if (tickMs !== null)
      for (; tickedMs + tickMs <= wallAt(atMs); tickedMs += tickMs) to.tick(tickedMs + tickMs)
    const parts: Sent[][] = Array.from({ length: workers }, () => [])
    for (const span of spans) parts[worker(span)].push(span)
    await to.send(wallAt(atMs), parts)
  }
  to.end()
  expect(to.late()).toBe(0)
  return to.told
}

/**
 * Whether every span comes after its end, and within the allowed lateness. What does not may break a trace without being counted as
 * late: that is known only where its own window is closed.
 */
const isInTime = ({ atMs, spans }: Arrival): boolean =>
  spans.every(({ endMs }) => endMs <= atMs && atMs <= endMs + LATENESS_MS)

/** Whole exports in another order: each is held up by what the allowed lateness leaves. */
const heldUp = (random: Random, arrivals: readonly Arrival[]): Arrival[] =>
  arrivals
    .map(({ atMs, spans }) => ({ atMs: atMs + random() * (LATENESS_MS - EXPORT_MS), spans }))
    .sort((a, b) => a.atMs - b.atMs)

/** Single spans in another order, in requests of random size, by nobody's exports. */
function scattered(random: Random, sent: readonly Sent[]): Arrival[] {
  const order = sent
    .map(span => ({ span, atMs: span.endMs + random() * LATENESS_MS }))
    .sort((a, b) => a.atMs - b.atMs)
  const arrivals: Arrival[] = []
  for (let from = 0; from < order.length; ) {
    const most = from + between(random, 1, 40)
    let to = from
    let byMs = Number.POSITIVE_INFINITY
    // A request waits for its last span, unless another one in it would be late by then.
    for (; to < Math.min(most, order.length) && order[to].atMs <= byMs; to++)
      byMs = Math.min(byMs, order[to].span.endMs + LATENESS_MS)
    arrivals.push({ atMs: order[to - 1].atMs, spans: order.slice(from, to).map(({ span }) => span) })
    from = to
  }
  return arrivals
}

/** So many exports in one request: the first waits for the last. */
export function joined(arrivals: readonly Arrival[], overMs: number): Arrival[] {
  const out: Arrival[] = []
  for (let from = 0; from < arrivals.length; ) {
    let to = from
    while (to < arrivals.length && arrivals[to].atMs < arrivals[from].atMs + overMs) to++
    out.push({ atMs: arrivals[to - 1].atMs, spans: arrivals.slice(from, to).flatMap(({ spans }) => spans) })
    from = to
  }
  return out
}

/** The group of laws that hold in a world, in which two faults open incidents. */
export function sameInWorld(seed: number): void {
  describe(`the same incidents, anomalies and levels to the byte, in world ${seed}`, () => {
    let sent: Sent[]
    let exported: Arrival[]
    let usual: readonly string[]
    beforeAll(async () => {
      sent = trouble(seed)
      exported = exportsOf(sent)
      usual = await tell(exported)
    })

    test('of which there are at least two', () => {
      const opened = usual.filter(text => text.startsWith('{"name":"otlier.incident.opened"'))
      expect(opened.length).toBeGreaterThanOrEqual(2)
      expect(usual.some(text => text.startsWith('{"name":"otlier.incident.resolved"'))).toBe(true)
    })

    test('when exports overtake each other within the allowed lateness', async () => {
      expect(await tell(heldUp(seeded(SEED), exported))).toEqual(usual)
    })

    test('when spans come in any order within the allowed lateness, in requests of any size, by four receivers at random', async () => {
      const random = seeded(SEED + 1)
      const way = { kind: { receivers: 4 }, worker: () => int(random, 4) }
      expect(await tell(scattered(random, sent), way)).toEqual(usual)
    })

    test('from four data planes that each assemble the traces whose ids fall to them', async () => {
      const way = { kind: { planes: 4 }, worker: ({ trace }: Sent) => (trace >>> 0) % 4 }
      expect(await tell(heldUp(seeded(SEED + 2), exported), way)).toEqual(usual)
    })
  })
}
