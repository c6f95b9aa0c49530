//! The memory of the process: how much of V8's heap is in use, a collection on request, and what is free given back to the system.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes in use, garbage that has not been collected yet included. */
export const usedHeap = (): number => getHeapStatistics().used_heap_size

let collector: ((options: object) => void) | null = null

/** Stops everything until the whole heap has been collected. The function is V8's own, shown only under a flag. */
export function collectGarbage(flavor: 'regular' | 'last-resort' = 'regular'): void {
  if (collector === null) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as (options: object) => void
    setFlagsFromString('--no-expose-gc')
  }
  collector({ type: 'major', execution: 'sync', flavor })
}

/** Collects garbage, and gives what is free then back to the system. Stops everything for a tenth of a second or two. */
export function giveBack(): void {
  // The last resort gives up room that V8 would keep for later.
  collectGarbage('last-resort')
  trim ??= findTrim()
  trim()
}

let trim: (() => void) | null = null

/**
 * glibc's malloc_trim(3): free pages between small blocks that are in use. By itself glibc gives back only what is free at
 * the end of its heap. Nothing where Node has no node:ffi, it is forbidden, or the C library is another one.
 */
function findTrim(): () => void {
  const { emitWarning } = process
  try {
    // Node says once for each process that the module may change; where it has, nothing is called.
    process.emitWarning = () => {}
    const ffi = process.getBuiltinModule('node:ffi')
    const { functions } = ffi.dlopen('libc.so.6', { malloc_trim: { arguments: ['u64'], return: 'i32' } })
    return () => void functions.malloc_trim(0n)
  } catch {
    return () => {}
  } finally {
    process.emitWarning = emitWarning
  }
}
