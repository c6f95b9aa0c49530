//! Keeps to the memory limit: what is admitted, what operators see of it, and what the log says when it begins and ends.
import { Cell, type Registry } from '../base/counters.ts'
import { collectGarbage, giveBack, usedHeap } from '../base/heap.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { Admission, RETRY_MS, Shortage } from './admission.ts'

/** Of the memory limit, for requests that are not answered yet. */
const IN_FLIGHT = 1 / 4
const MIB = 2 ** 20

export interface MemoryOptions {
  readonly limitBytes: number
  /** What the sending queues hold. */
  queuedBytes(): number
  /** When room in the queues is to be expected. */
  retryAfterMs(): number
  /** In place of V8's own, in tests. */
  readonly heap?: { used(): number; collect(): void }
}

export interface MemoryGuard {
  /** One for all receivers. */
  readonly admission: Admission
  /** Sentences for health, none while everybody is let in. To be asked every second or so: the end is noticed here. */
  reasons(): readonly string[]
}

export function guardMemory(options: MemoryOptions, world: World, log: Log, registry: Registry): MemoryGuard {
  const { limitBytes, queuedBytes, heap = { used: usedHeap, collect: () => collectGarbage() } } = options
  const mib = (bytes: number) => Math.round(bytes / MIB)
  const shortage = new Shortage(world, {
    limitBytes,
    usedHeap: () => heap.used(),
    collect: () => heap.collect(),
    held: () => admission.usedBytes + queuedBytes(),
    retryAfterMs: () => Math.max(RETRY_MS, options.retryAfterMs()),
    changed(isShort, usedBytes) {
      const fields = {
        used_mib: mib(usedBytes),
        queued_mib: mib(queuedBytes()),
        in_flight_mib: mib(admission.usedBytes),
        memory_limit_mib: mib(limitBytes),
      }
      if (isShort) log.warn(fields, 'memory is short; senders are asked to come again')
      else log.info(fields, 'memory is no longer short')
    },
  })
  const admission = new Admission(limitBytes * IN_FLIGHT, shortage, isFull => {
    const fields = { in_flight_mib: mib(admission.usedBytes), budget_mib: mib(admission.limitBytes) }
    if (isFull)
      log.warn(fields, 'too many requests are under way; senders of large ones are asked to come again')
    else log.info(fields, 'there is room for requests again')
  })
  const observe = (name: string, help: string, read: () => number) => {
    const cell = new Cell({})
    registry.observe(name, 'By', help, () => {
      cell.value = read()
      return [cell]
    })
  }
  observe('otlier_memory_limit', 'memory_limit_mib, in bytes.', () => limitBytes)
  observe('otlier_memory_used', 'What admission goes by: the heap in use, requests and queues.', () =>
    shortage.usedBytes(),
  )
  observe(
    'otlier_receiver_in_flight',
    'Requests that are not answered yet, the larger of packed and unpacked.',
    () => admission.usedBytes,
  )
  return {
    admission,
    reasons() {
      // Each is asked, so that each can tell of its end.
      const [isShort, isFull] = [shortage.isShort(), admission.isFull()]
      return [
        ...(isShort ? ['Memory is short: senders are asked to come again.'] : []),
        ...(isFull
          ? ['Too many bytes of requests are under way: senders of large ones are asked to come again.']
          : []),
      ]
    },
  }
}

/** What a burst has left behind is given back when resident memory is this far above what it was the last time, and by so many bytes. */
const LEFT_BEHIND = 1.15
const LEFT_BEHIND_BYTES = 16 * MIB
/** Above this share of the thread's time nobody should wait for it. */
const BUSY = 0.5
/** Between two attempts, doubled with each that frees less than a share of `USEFUL`. */
const ATTEMPT_EVERY_MS = 10_000
const ATTEMPT_SELDOM_MS = 640_000
const USEFUL = 0.05

/** What the upkeep goes by, in place of the process in tests. */
export interface Resident {
  /** Resident memory, in bytes. */
  bytes(): number
  /** Collects garbage, and gives what is free to the system. */
  giveBack(): void
}

const ofProcess: Resident = { bytes: () => process.memoryUsage.rss(), giveBack }

/**
 * Gives back to the system what V8 and malloc would keep of a burst for the next one, in moments with little to do. To be
 * called every second or so.
 */
export function memoryUpkeep(world: World, memory: Resident = ofProcess): () => void {
  let leastBytes = memory.bytes()
  let pauseMs = ATTEMPT_EVERY_MS
  let looked = { atMs: world.monotonic(), cpuMs: world.cpu() }
  let dueMs = looked.atMs + pauseMs
  return () => {
    const now = { atMs: world.monotonic(), cpuMs: world.cpu() }
    const isBusy = now.cpuMs - looked.cpuMs > BUSY * (now.atMs - looked.atMs)
    looked = now
    if (isBusy || now.atMs < dueMs) return
    const bytes = memory.bytes()
    if (bytes < leastBytes * LEFT_BEHIND || bytes < leastBytes + LEFT_BEHIND_BYTES) return
    memory.giveBack()
    const left = memory.bytes()
    pauseMs = bytes - left < bytes * USEFUL ? Math.min(2 * pauseMs, ATTEMPT_SELDOM_MS) : ATTEMPT_EVERY_MS
    dueMs = now.atMs + pauseMs
    // After so many attempts in vain it is in use.
    leastBytes = pauseMs === ATTEMPT_SELDOM_MS ? left : Math.min(leastBytes, left)
  }
}
