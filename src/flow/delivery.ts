//! Brings one load to its destination, whatever the answers: what is too large is divided, what is refused is taken apart, and every item ends in an account.
import { Failure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { seldom } from '../base/seldom.ts'
import type { World } from '../base/world.ts'
import { halve, type Part, split } from '../wire/split.ts'
import type { Account } from './accounts.ts'
import type { Settled } from './retry.ts'
import { type CheckedBatch, type ExportRequest, type Headers, type Signal, sizeOf } from './sink.ts'
import type { Ticket } from './ticket.ts'

/** A sender's request, or a piece of one, `of` which it is. */
type LoadPart = Part & Pick<CheckedBatch, 'pieces'> & { readonly of: Ticket }

/** Of a batch that is in pieces, `bytes` would put them together. */
export const partOf = (batch: CheckedBatch, of: Ticket): LoadPart => ({
  of,
  items: batch.items,
  ...(batch.pieces === undefined ? {} : { pieces: batch.pieces }),
  get bytes() {
    return batch.bytes
  },
})

/** Requests that one consumer has taken from the queue: of one signal, with the same headers, in order. */
export interface Load {
  readonly signal: Signal
  readonly headers: Headers
  readonly parts: readonly LoadPart[]
}

export interface DeliveryOptions {
  /** A single request above this is divided before it is sent. */
  readonly maxBatchBytes: number
  /** Nothing larger is ever sent. */
  readonly maxRequestBytes: number
}

export interface DeliveryHooks {
  readonly id: string
  attempt(request: ExportRequest, isAwaiting: boolean): Promise<Settled>
  account(signal: Signal): Account
  /** The destination has spoken about this signal: it takes it, or it does not. */
  heard(signal: Signal, supported: boolean): void
  /** True once the accounts have been closed over what is still under way. */
  over(): boolean
  /** What stopping leaves undelivered stays where it is. */
  readonly isLasting: boolean
}

const TOO_LARGE: Settled = { kind: 'too_large', cause: new Failure('OTLIER_DESTINATION_TOO_LARGE') }

export const itemsOf = (parts: readonly Part[]) => parts.reduce((sum, part) => sum + part.items, 0)
const bytesOf = (parts: readonly LoadPart[]) => parts.reduce((sum, part) => sum + sizeOf(part), 0)

/** Resolves when every item of the load has been accounted for. */
export function delivery(hooks: DeliveryHooks, world: World, log: Log, options: DeliveryOptions) {
  const now = seldom<'partial' | 'warned' | 'rejected' | 'too_large' | 'expired'>(world)
  const fieldsOf = (load: Load, cause: Failure | null, suppressed: number) => ({
    exporter: hooks.id,
    signal: load.signal,
    items: itemsOf(load.parts),
    ...(cause === null ? {} : { cause: cause.message }),
    suppressed,
  })

  return async function deliver(load: Load): Promise<void> {
    const [first] = load.parts
    if (load.parts.length > 1 || sizeOf(first) <= options.maxBatchBytes) return send(load)
    const { of } = first
    for (const part of split(load.signal, first.bytes, options.maxBatchBytes)) {
      of.divide(1)
      await send({ ...load, parts: [{ ...part, of }] })
    }
    of.close()
  }

  async function send(load: Load): Promise<void> {
    if (hooks.over()) return
    const { signal, headers, parts } = load
    const items = itemsOf(parts)
    const request = { signal, headers, items, parts: parts.flatMap(part => part.pieces ?? part.bytes) }
    const { of } = parts[0]
    if (of.isReturned) {
      hooks.account(signal).droppedInFlight(items, 'returned')
      return close(load, () => {})
    }
    const settled =
      bytesOf(parts) > options.maxRequestBytes ? TOO_LARGE : await hooks.attempt(request, of.isAwaited)
    if (hooks.over()) return
    const account = hooks.account(signal)
    if (settled.kind === 'delivered' || settled.kind === 'refused' || settled.kind === 'too_large') {
      hooks.heard(signal, true)
    }
    switch (settled.kind) {
      case 'delivered': {
        const rejected = Math.min(items, Math.max(0, settled.rejectedItems))
        account.sent(items, rejected)
        reportPartial(load, rejected, settled.message)
        return close(load, ticket => ticket.delivered(rejected, settled.message))
      }
      case 'refused':
        // Of a merged request nobody knows whose part was refused: each is sent once alone, so that one sender's bytes
        // never cost another's.
        if (parts.length > 1) return sendEach(parts.map(part => ({ ...load, parts: [part] })))
        account.sent(items, items)
        now('rejected', n =>
          log.error(fieldsOf(load, settled.cause, n), 'the destination rejected a request for good'),
        )
        return close(load, ticket => ticket.refused(items, settled.cause))
      case 'too_large': {
        const smaller = divide(load)
        if (smaller !== null) return sendEach(smaller)
        account.droppedInFlight(items, 'too_large')
        now('too_large', n =>
          log.error(fieldsOf(load, settled.cause, n), 'an item too large for the destination was dropped'),
        )
        return close(load, ticket => ticket.refused(items, settled.cause))
      }
      case 'unsupported':
        account.droppedInFlight(items, 'unsupported')
        hooks.heard(signal, false)
        return close(load, ticket => ticket.refused(items, settled.cause))
      case 'expired':
        account.droppedInFlight(items, 'expired')
        now('expired', n =>
          log.error(
            fieldsOf(load, settled.cause, n),
            'a request was given up after retry_on_failure.max_elapsed_time',
          ),
        )
        return close(load, () => {})
      case 'returned':
        account.droppedInFlight(items, 'returned')
        return close(load, ticket => ticket.returned(settled.cause, settled.retryAfterMs))
      case 'stopped':
        if (hooks.isLasting) account.kept(items)
        else account.droppedInFlight(items, 'shutdown')
        return close(load, ticket => ticket.keep())
    }
  }

  function close({ parts }: Load, note: (ticket: Ticket) => void) {
    for (const { of } of parts) {
      note(of)
      of.close()
    }
  }

  // One after the other: the order is kept, and a consumer never has more than one request under way.
  async function sendEach(loads: readonly Load[]) {
    for (const load of loads) await send(load)
  }

  function reportPartial(load: Load, rejected: number, message: string) {
    if (rejected > 0) {
      now('partial', n =>
        log.warn(
          { ...fieldsOf(load, null, n), rejected, message },
          'the destination rejected some items of a request',
        ),
      )
    } else if (message !== '') {
      now('warned', n =>
        log.warn({ ...fieldsOf(load, null, n), message }, 'the destination took a request with a warning'),
      )
    }
  }
}

/** In two: between senders' requests where there are several, else inside the one. Null where it cannot be. */
function divide({ signal, headers, parts }: Load): readonly Load[] | null {
  if (parts.length === 1) {
    const halves = halve(signal, parts[0].bytes)
    if (halves === null) return null
    const { of } = parts[0]
    of.divide(halves.length - 1)
    return halves.map(half => ({ signal, headers, parts: [{ ...half, of }] }))
  }
  const half = bytesOf(parts) / 2
  let before = sizeOf(parts[0])
  let cut = 1
  while (cut < parts.length - 1 && before + sizeOf(parts[cut]) <= half) before += sizeOf(parts[cut++])
  return [parts.slice(0, cut), parts.slice(cut)].map(some => ({ signal, headers, parts: some }))
}
