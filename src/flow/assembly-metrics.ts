//! What the assembly of traces says of itself: what waits, what was left out, and whose clock is off.
import { Cell, type Registry } from '../base/counters.ts'
import type { StreamClock } from './clock.ts'
import type { PodTable } from './pods.ts'
import { BYTES_A_SPAN } from './pool.ts'
import type { Waiting } from './waiting.ts'

/** Senders that are told of by name. */
const MAX_NAMED_CLOCKS = 100

export function registerAssembly(
  registry: Registry,
  waiting: Waiting,
  clock: StreamClock,
  pods: PodTable,
  maxSpans: number,
): void {
  const gauge = (name: string, unit: string, help: string) => registry.gauge(name, unit, help)
  const evicted = (reason: string) =>
    registry.counter(
      'otlier.assembly.traces.evicted',
      '{trace}',
      'Traces taken for whole too early: for want of room, or because they have too many spans.',
      { reason },
    )
  const full = evicted('full')
  const long = evicted('long')
  const held = gauge('otlier.assembly.spans', '{span}', 'Spans that wait for the rest of their trace.')
  const bytes = gauge('otlier.assembly.limit', 'By', 'What the spans that wait may take at most.')
  const refused = gauge(
    'otlier.assembly.refused',
    '{span}',
    'Spans and calls left out of a window that has as many rows as it may.',
  )
  const thinned = gauge(
    'otlier.assembly.thinned',
    '{span}',
    'Spans left out of traces for want of room: other traces stand for theirs, with more weight.',
  )
  const jumps = gauge('otlier.clock.jumps', '{jump}', "How often a sender's clock was found to be off.")
  bytes.value = maxSpans * BYTES_A_SPAN
  registry.beforeRead(() => {
    full.value = waiting.evicted.full
    long.value = waiting.evicted.long
    held.value = waiting.held
    thinned.value = waiting.thinned
    refused.value = waiting.refused
    jumps.value = clock.jumps
  })
  registry.observe(
    'otlier.clock.offset',
    's',
    'How far a sender is ahead of the others, where its clock is off; less than nothing where it is behind.',
    () => offsets(clock, pods),
  )
}

function* offsets(clock: StreamClock, pods: PodTable): Generator<Cell> {
  let told = 0
  for (const [sender, offsetMs] of clock.offsets()) {
    if (++told > MAX_NAMED_CLOCKS) return
    const cell = new Cell({ sender: pods.clockNames[sender] })
    cell.value = offsetMs / 1000
    yield cell
  }
}
