//! Teeth of the service as a whole: its accounts, its destinations, its metrics, its log, and its stop.
import { teethIn } from './tooth.ts'

export const SERVICE = [
  ...teethIn('system/running.test.ts', [
    {
      row: 'accounts',
      guard: 'what is accepted is counted',
      file: 'flow/counted.ts',
      on: 'accepted.value += batch.items',
      off: '',
      test: 'balance at every scrape while a destination fails',
    },
    {
      row: 'accounts',
      guard: "Otlier's own events are counted",
      file: 'flow/counted.ts',
      on: 'cells[SIGNALS.indexOf(batch.signal)].value += batch.items',
      off: '',
      test: 'balance at every scrape while a destination fails',
    },
    {
      row: 'accounts',
      guard: 'a malformed request is counted',
      file: 'flow/counted.ts',
      on: 'refused(batch.signal, outcome.cause.code)',
      off: '{}',
      test: 'a malformed request is refused, counted, and changes no account',
    },
    {
      row: 'loop',
      guard: "a destination that is Otlier's own listener is not used",
      file: 'otlier.ts',
      on: 'notes[settings.id])\n        continue',
      off: 'notes[settings.id])',
      test: "one that is Otlier's own listener is explained and not used",
    },
  ]),
  ...teethIn('edge/prometheus.test.ts', [
    {
      row: 'metrics',
      guard: 'labels that clients choose make a bounded number of series',
      file: 'base/counters.ts',
      on: 'entry.cells.size < MAX_CELLS - 1 ? labels : OVERFLOW',
      off: 'labels',
      test: 'labels that clients choose make at most MAX_CELLS series',
    },
  ]),
  ...teethIn('commands/load-config.test.ts', [
    {
      row: 'secrets',
      guard: 'values of headers are masked when printed',
      file: 'base/texts.ts',
      on: '[name, MASK]',
      off: '[name, value[name]]',
      test: 'later files over earlier ones, key by key',
    },
  ]),
  ...teethIn('commands/logger.test.ts', [
    {
      row: 'log',
      guard: 'control characters reach no terminal',
      file: 'commands/logger.ts',
      on: '.map(part => harmless(String(part)))',
      off: '',
      test: 'nothing that came over the network can steer the terminal',
    },
  ]),
  ...teethIn('commands/signals.test.ts', [
    {
      row: 'stop',
      guard: 'what comes within a second is the same signal',
      file: 'commands/signals.ts',
      on: 'nowMs - firstMs >= SAME_SIGNAL_MS',
      off: 'nowMs >= firstMs',
      test: 'what comes within a second is the same signal',
    },
  ]),
  ...teethIn('flow/loan.test.ts', [
    {
      row: 'memory',
      guard: 'every destination that took a batch holds its memory',
      file: 'flow/fanout.ts',
      on: 'batch.loan?.share(reservations.filter(({ holds }) => holds).length)',
      off: 'batch.loan?.share(1)',
      test: 'memory comes back when the last of two destinations has its answer',
    },
    {
      row: 'memory',
      guard: 'memory that was given out twice stays away',
      file: 'base/loan.ts',
      on: 'this.#isShared ? null : holders',
      off: 'holders',
      test: 'memory that nobody lets go of, or that was given out twice, never comes back',
    },
  ]),
  ...teethIn('system/reuse.test.ts', [
    {
      row: 'memory',
      guard: 'memory stays while a batch waits',
      file: 'flow/fanout.ts',
      on: 'batch.loan?.share(reservations.filter(({ holds }) => holds).length)',
      off: 'batch.loan?.share(0)',
      test: 'both destinations get what was sent, although one is slow and has to be asked again',
    },
  ]),
  ...teethIn('edge/receivers/pool.test.ts', [
    {
      row: 'memory',
      guard: 'what lies idle is bounded',
      file: 'edge/pool.ts',
      on: 'if (this.#isClosed || this.idleBytes + bytes.length > MAX_IDLE_BYTES) return',
      off: 'if (this.#isClosed) return',
      test: 'after a burst 32 MiB lie idle at the most',
    },
    {
      row: 'memory',
      guard: 'what lies idle is given up',
      file: 'edge/pool.ts',
      on: 'this.#cancel ??= this.#world.after(IDLE_MS, () => this.#giveUpSpare())',
      off: '',
      test: 'what lies idle for two periods is given up, and what is used stays',
    },
  ]),
  ...teethIn('edge/exporters/early.test.ts', [
    {
      row: 'memory',
      guard: 'an early answer over HTTP waits until all has been read',
      file: 'edge/http-out.ts',
      on: "if (answer.kind !== 'delivered' || isRead) return settle(answer)",
      off: 'settle(answer)',
      test: 'a destination that answers before it has read all has been read to when it counts as delivered',
    },
  ]),
]
