//! Teeth of order: what makes the same spans give the same incidents, however they come and by whom.
import { teethIn } from './tooth.ts'

export const ORDER = [
  ...teethIn('system/order.test.ts', [
    {
      row: 'order',
      guard: 'a window waits for spans that are late by as much as is allowed',
      file: 'flow/assemble.ts',
      on: 'const watermarkMs = this.#clock.nowMs - delayOf(this.#options)',
      off: 'const watermarkMs = this.#clock.nowMs - delayOf(this.#options) / 2',
      test: 'in world 10 > when exports overtake each other within the allowed lateness',
    },
    {
      row: 'order',
      guard: 'where spans come, they say how fast time goes',
      file: 'flow/clock.ts',
      on: 'this.#anchorMs = untilMs\n      this.#anchorMonotonicMs = monotonicMs\n    }\n  }\n\n  /** In silence',
      off: '}\n  }\n\n  /** In silence',
      test: 'when all is sent at half the speed',
    },
  ]),
  ...teethIn('flow/assemble.test.ts', [
    {
      row: 'order',
      guard: 'whom a series calls is not what the first span says',
      file: 'flow/peers.ts',
      on: 'if (order > this.orders[series]) return',
      off: 'if (this.orders[series] < Number.POSITIVE_INFINITY) return',
      test: 'whom a series calls that calls several is the same in any order',
    },
  ]),
  ...teethIn('learn/workers.test.ts', [
    {
      row: 'order',
      guard: 'a window waits until all workers have passed it',
      file: 'learn/workers.ts',
      on: 'if (lastMs >= boundMs) return lastMs',
      off: 'if (lastMs >= boundMs) return firstMs',
      test: 'what four workers say is what one says that has all traces',
    },
    {
      row: 'order',
      guard: 'nobody is waited for without end',
      file: 'learn/workers.ts',
      on: 'for (const [worker, endMs] of this.#passed) if (endMs < boundMs) this.#passed.delete(worker)',
      off: 'if (boundMs > 0) return Number.NEGATIVE_INFINITY',
      test: 'a worker that has stopped, or has never spoken, holds up three minutes and no more',
    },
    {
      row: 'order',
      guard: 'rows of several workers stand in the order of their ids',
      file: 'learn/union.ts',
      on: ': source.before(a, first))',
      off: ': false)',
      test: 'what four workers say is what one says that has all traces',
    },
    {
      row: 'order',
      guard: 'whom a series calls is what the worker with the earliest span says',
      file: 'learn/union.ts',
      on: 'if (order > known || (order === known && peers[at] >= this.peers[own])) continue',
      off: 'if (known !== undefined) continue',
      test: 'what four workers say is what one says that has all traces',
    },
  ]),
]
