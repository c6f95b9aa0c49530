//! V8's heap: how much of it is in use, and a collection on request.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes in use, garbage that has not been collected yet included. */
export const usedHeap = (): number => getHeapStatistics().used_heap_size

let collector: (() => void) | null = null

/** Stops everything until the whole heap has been collected. The function is V8's own, shown only under a flag. */
export function collectGarbage(): void {
  if (collector === null) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
  }
  collector()
}
