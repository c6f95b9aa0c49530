//! Teeth of the accounts: one increment at a time is taken out, and the balance fails each time.
import { teethIn } from './tooth.ts'

const EVERY_WAY = 'every way of an item stands in the accounts at every scrape'

/** Each line of the accounts that adds to a term or takes from one. */
const INCREMENTS: readonly (readonly [guard: string, file: string, on: string, off: string])[] = [
  ['accepted', 'flow/counted.ts', 'accepted.value += batch.items - outcome.rejectedItems', ''],
  [
    'generated',
    'flow/counted.ts',
    "if (outcome.kind === 'accepted') cells[SIGNALS.indexOf(batch.signal)].value += batch.items",
    '',
  ],
  [
    'enqueue_failed',
    'flow/accounts.ts',
    'void (failed[reason].value += items)',
    'void [failed, items, reason]',
  ],
  ['enqueued', 'flow/accounts.ts', '      enqueued.value += items\n', ''],
  ['queued, in', 'flow/accounts.ts', '\n      queued.value += items', ''],
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

export const ACCOUNTS = teethIn('system/accounts.test.ts', [
  ...INCREMENTS.map(([guard, file, on, off]) => ({
    row: 'accounts',
    guard: `the increment: ${guard}`,
    file,
    on,
    off,
    test: EVERY_WAY,
  })),
  {
    row: 'accounts',
    guard: 'the increment: refused',
    file: 'flow/counted.ts',
    on: '} else refused.value += batch.items',
    off: '}',
    test: 'what is turned away stands in no account but its own',
  },
])
