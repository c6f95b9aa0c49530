//! Teeth of what is kept: one increment of the accounts at a time is taken out and the balance fails, and each step of durability is left out.
import { teethIn } from './tooth.ts'

type Increment = readonly [guard: string, file: string, on: string, off: string]

const toothOf = (test: string) => (increment: Increment) => {
  const [guard, file, on, off] = increment
  return { row: 'accounts', guard: `the increment: ${guard}`, file, on, off, test }
}

/** Each line of the accounts that adds to a term or takes from one. */
const INCREMENTS: readonly Increment[] = [
  ['accepted', 'flow/counted.ts', '        accepted.value += batch.items\n', ''],
  ['generated', 'flow/counted.ts', 'cells[SIGNALS.indexOf(batch.signal)].value += batch.items', ''],
  [
    'enqueue_failed',
    'flow/accounts.ts',
    'void (failed[reason].value += items)',
    'void [failed, items, reason]',
  ],
  ['enqueued', 'flow/accounts.ts', '      enqueued.value += items\n', ''],
  [
    'queued, in',
    'flow/accounts.ts',
    'enqueued.value += items\n      queued.value += items',
    'enqueued.value += items',
  ],
  ['queued, out', 'flow/accounts.ts', 'queued.value -= items', ''],
  ['in_flight, in', 'flow/accounts.ts', 'inFlight.value += items', ''],
  ['in_flight, out', 'flow/accounts.ts', 'inFlight.value -= items\n      sent', 'sent'],
  ['sent', 'flow/accounts.ts', 'sent.value += items - refused', ''],
  ['rejected', 'flow/accounts.ts', 'rejected.value += refused', ''],
  ['send_failed of what is rejected', 'flow/accounts.ts', 'sendFailed.value += refused', ''],
  ['dropped, out of where it was', 'flow/accounts.ts', 'from.value -= items', ''],
  ['dropped', 'flow/accounts.ts', 'dropped[reason].value += items', ''],
  ['send_failed of what is dropped', 'flow/accounts.ts', 'sendFailed.value += items', ''],
]

/** Those that only a queue on disk makes. */
const ON_DISK: readonly Increment[] = [
  ['recovered', 'flow/accounts.ts', '      recovered.value += items\n', ''],
  [
    'recovered, into the queue',
    'flow/accounts.ts',
    'recovered.value += items\n      queued.value += items',
    'recovered.value += items',
  ],
  [
    'kept at a stop, out of flight',
    'flow/accounts.ts',
    'kept(items) {\n      inFlight.value -= items',
    'kept(items) {',
  ],
  [
    'kept at a stop, into the queue',
    'flow/accounts.ts',
    'inFlight.value -= items\n      queued.value += items',
    'inFlight.value -= items',
  ],
]

const HISTORIES = 'random histories: never loses what was acknowledged'

export const KEEPING = [
  ...teethIn('system/accounts.test.ts', [
    ...INCREMENTS.map(toothOf('every way of an item stands in the accounts at every scrape')),
    toothOf('what is turned away stands in no account but its own')([
      'refused',
      'flow/counted.ts',
      'if (!isTaken) refused.value += batch.items',
      '',
    ]),
  ]),
  ...teethIn('flow/disk/model.test.ts', [
    ...ON_DISK.map(toothOf(HISTORIES)),
    {
      row: 'disk',
      guard: 'the body of a record has a checksum',
      file: 'flow/disk/format.ts',
      on: ' || crc32(body) !== header.bodyCrc',
      off: '',
      test: HISTORIES,
    },
    {
      row: 'disk',
      guard: 'what has been answered is marked',
      file: 'flow/disk/recover.ts',
      on: 'this.#marks.has(index) ? STATE.done : STATE.stored',
      off: 'STATE.stored',
      test: HISTORIES,
    },
  ]),
  ...teethIn('system/durability.test.ts', [
    {
      row: 'durable',
      guard: 'an answer waits for the sync',
      file: 'flow/disk/writer.ts',
      on: 'if (this.#isDurable) await this.#syncDirty()',
      off: 'if (this.#isDurable) void this.#syncDirty()',
      test: 'no success leaves before the sync that covers its bytes',
    },
    {
      row: 'durable',
      guard: 'the name of a new segment is synced',
      file: 'flow/disk/writer.ts',
      on: 'await disk.syncDirectory(this.#directory)',
      off: '',
      test: 'a new segment is no exception',
    },
    {
      row: 'durable',
      guard: 'the names of the directories that lead to the queue are synced',
      file: 'flow/disk/writer.ts',
      on: 'if (!this.#isPathNamed) {',
      off: 'if (false) {',
      test: 'no success leaves before the sync that covers its bytes',
    },
    {
      row: 'durable',
      guard: 'a sync that has failed acknowledges nothing',
      file: 'flow/disk/writer.ts',
      on: 'this.#hooks.broken(segment)\n        throw error',
      off: 'this.#hooks.broken(segment)',
      test: 'a sync that fails acknowledges nothing',
    },
  ]),
]
