//! The laws of the sending queue, on a simulated clock with an exporter whose answers are written here.
import { describe, expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { QUEUE_LIMITS, type QueueOptions, queue } from '../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../src/flow/retry.ts'
import { type Answer, type CheckedBatch, type Headers, NO_HEADERS, type Signal } from '../../src/flow/sink.ts'
import {
  BUSY,
  busyFor,
  DELIVERED,
  partial,
  REFUSED,
  type ScriptedExporter,
  type Seen,
  scriptedExporter,
  TOO_LARGE,
  UNSUPPORTED,
} from '../kit/exporter.ts'
import { recordingLog } from '../kit/log.ts'
import { simulatedWorld } from '../kit/world.ts'
import { concat, delimited } from '../oracle/bytes.ts'

const OPTIONS: QueueOptions = {
  ...QUEUE_LIMITS,
  sizeBytes: 2 ** 20,
  whenFull: 'refuse',
  numConsumers: 10,
  retry: RETRY_DEFAULTS,
}

function scene(answer: ScriptedExporter['answer'] | Answer, options: Partial<QueueOptions> = {}) {
  const world = simulatedWorld(1)
  const exporter = scriptedExporter(world, typeof answer === 'function' ? answer : () => answer)
  const { log, lines } = recordingLog()
  const registry = new Registry()
  const sending = queue(exporter, world, log, registry, { ...OPTIONS, ...options })
  const read = (what: string, reason?: string, name = 'spans') =>
    registry.read(`otlier_exporter_${what}_${name}`, {
      exporter: exporter.id,
      ...(reason === undefined ? {} : { reason }),
    })
  const size = () => registry.read('otlier_exporter_queue_size', { exporter: exporter.id })
  return { world, exporter, lines, registry, sending, read, size }
}

/** Spans that tell themselves apart by their names. */
function batch(
  names: readonly string[],
  signal: Signal = 'traces',
  headers: Headers = NO_HEADERS,
): CheckedBatch {
  // Spans and log records have the same shape as far as names go: field 5 of either is length-delimited.
  const items = names.map(name => delimited(2, delimited(5, signal === 'traces' ? name : delimited(1, name))))
  const bytes = names.length === 0 ? new Uint8Array(0) : delimited(1, delimited(2, concat(items)))
  return { signal, bytes, items: names.length, receivedMs: 0, headers }
}

const text = ({ bytes }: Seen) => Buffer.from(bytes).toString('latin1')
const names = (seen: Seen) => text(seen).match(/[a-z]+\d+/g) ?? []
const pending = () => new Promise<Answer>(() => {})

describe('a queue', () => {
  test('merges what waits together into one request, oldest first', async () => {
    const { world, exporter, sending } = scene(DELIVERED)
    for (const name of ['a1', 'a2', 'a3']) expect(sending.offer(batch([name]))).toBe('taken')
    await world.advance(5)
    expect(exporter.seen.map(names)).toEqual([['a1', 'a2', 'a3']])
    expect(exporter.seen[0].items).toBe(3)
  })

  test('sends at once what is as large as a request may be', async () => {
    const { world, exporter, sending } = scene(DELIVERED, { maxBatchBytes: 100 })
    sending.offer(batch([`a1${'.'.repeat(60)}`]))
    await world.settle()
    expect(exporter.seen).toHaveLength(0)
    sending.offer(batch([`a2${'.'.repeat(60)}`]))
    await world.settle()
    expect(exporter.seen.map(names)).toEqual([['a1']])
    await world.advance(5)
    expect(exporter.seen.map(names)).toEqual([['a1'], ['a2']])
  })

  test('merges a backlog up to the size of a request, and no further', async () => {
    const { world, exporter, sending } = scene(DELIVERED, { maxBatchBytes: 1000 })
    for (let n = 0; n < 50; n++) sending.offer(batch([`a${n}${'.'.repeat(90)}`]))
    await world.advance(5)
    expect(exporter.seen.flatMap(names)).toEqual(Array.from({ length: 50 }, (_, n) => `a${n}`))
    for (const { bytes } of exporter.seen) expect(bytes.length).toBeLessThanOrEqual(1000)
    expect(exporter.seen).toHaveLength(6)
  })

  test('never merges different headers or signals', async () => {
    const { world, exporter, sending } = scene(DELIVERED)
    sending.offer(batch(['a1'], 'traces', { tenant: 'x' }))
    sending.offer(batch(['a2'], 'traces', { tenant: 'x' }))
    sending.offer(batch(['b1'], 'traces', { tenant: 'y' }))
    sending.offer(batch(['a3'], 'traces', { tenant: 'x' }))
    sending.offer(batch(['l1'], 'logs', { tenant: 'x' }))
    await world.advance(5)
    const sent = exporter.seen.map(seen => `${seen.signal} ${seen.headers['tenant']} ${names(seen)}`)
    expect(sent).toEqual(['traces x a1,a2', 'traces y b1', 'traces x a3', 'logs x l1'])
  })

  test('divides a request that is larger than a request may be', async () => {
    const { world, exporter, sending } = scene(DELIVERED, { maxBatchBytes: 1000 })
    sending.offer(batch(Array.from({ length: 40 }, (_, n) => `a${n}${'.'.repeat(90)}`)))
    await world.advance(5)
    for (const { bytes } of exporter.seen) expect(bytes.length).toBeLessThanOrEqual(1000)
    expect(exporter.seen.flatMap(names)).toEqual(Array.from({ length: 40 }, (_, n) => `a${n}`))
  })

  test('has as many requests under way as it has consumers', async () => {
    const { world, exporter, sending } = scene(pending, { maxBatchBytes: 10, numConsumers: 3 })
    for (let n = 0; n < 9; n++) sending.offer(batch([`a${n}`]))
    await world.advance(100)
    expect(exporter.mostOpen).toBe(3)
  })

  test('leaves no timer behind when it has nothing to do', async () => {
    const { world, sending } = scene(DELIVERED)
    for (let n = 0; n < 5; n++) {
      sending.offer(batch([`a${n}`]))
      await world.advance(7)
    }
    expect(world.timers()).toBe(0)
  })

  test('takes an empty request, and its weight', async () => {
    const { world, exporter, sending, size } = scene(DELIVERED)
    expect(sending.offer(batch([]))).toBe('taken')
    expect(size()).toBe(256)
    await world.advance(5)
    expect(exporter.seen).toHaveLength(1)
    expect(size()).toBe(0)
  })
})

describe('a full queue', () => {
  const full = { sizeBytes: 3 * 300, numConsumers: 1, maxBatchBytes: 10 } as const
  const fill = (sending: ReturnType<typeof scene>['sending'], from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => sending.offer(batch([`a${from + at}${'.'.repeat(30)}`])))

  test('with refuse, turns the sender away and counts nothing', async () => {
    const { sending, read } = scene(pending, full)
    expect(fill(sending, 0, 5)).toEqual(['taken', 'taken', 'taken', 'full', 'full'])
    expect(read('enqueued')).toBe(3)
    expect(read('enqueue_failed', 'queue_full')).toBe(0)
  })

  test('with drop_newest, passes the batch over and counts it', async () => {
    const { sending, read } = scene(pending, { ...full, whenFull: 'drop_newest' })
    expect(fill(sending, 0, 5)).toEqual(['taken', 'taken', 'taken', 'dropped', 'dropped'])
    expect(read('enqueued')).toBe(3)
    expect(read('enqueue_failed', 'queue_full')).toBe(2)
  })

  test('with drop_oldest, makes room from the other end, and never from what is under way', async () => {
    const { world, sending, read, exporter } = scene(pending, { ...full, whenFull: 'drop_oldest' })
    expect(fill(sending, 0, 3)).toEqual(['taken', 'taken', 'taken'])
    await world.advance(5)
    expect(fill(sending, 3, 7)).toEqual(['taken', 'taken', 'taken', 'taken'])
    expect(read('dropped', 'queue_full')).toBe(4)
    expect(read('in_flight')).toBe(1)
    expect(read('queued')).toBe(2)
    expect(exporter.seen.flatMap(names)).toEqual(['a0'])
  })

  test('says so once, and once when it has room again, with what it cost', async () => {
    const { world, sending, lines, exporter } = scene(pending, { ...full, whenFull: 'drop_newest' })
    exporter.answer = () => world.sleep(1000).then(() => DELIVERED)
    fill(sending, 0, 9)
    expect(sending.full()).toBe(true)
    await world.advance(60_000)
    fill(sending, 9, 10)
    expect(sending.full()).toBe(false)
    expect(lines.map(({ message }) => message)).toEqual([
      'the sending queue is full; telemetry is being lost',
      'the sending queue has room again',
    ])
    expect(lines[1].fields['dropped']).toBe(6)
  })

  test('takes a batch larger than itself when nothing waits: it would never pass otherwise', async () => {
    const { world, sending, exporter } = scene(DELIVERED, { sizeBytes: 100 })
    const large = batch([`a1${'.'.repeat(500)}`])
    expect(sending.offer(large)).toBe('taken')
    expect(sending.offer(large)).toBe('full')
    await world.advance(5)
    expect(exporter.seen).toHaveLength(1)
    expect(sending.offer(large)).toBe('taken')
  })
})

describe('an answer', () => {
  test('delivered with a part rejected is counted and told, never sent again', async () => {
    const { world, sending, exporter, read, lines } = scene(partial(2, 'two were odd'))
    sending.offer(batch(['a1', 'a2', 'a3']))
    await world.advance(600_000)
    expect(exporter.seen).toHaveLength(1)
    expect([read('sent'), read('rejected'), read('send_failed')]).toEqual([1, 2, 2])
    expect(lines[0]).toMatchObject({ level: 'warn', fields: { rejected: 2, message: 'two were odd' } })
  })

  test('with a rejected count that makes no sense leaves the accounts in balance', async () => {
    for (const [said, rejected] of [
      [-5, 0],
      [1e18, 3],
    ]) {
      const { world, sending, read } = scene(partial(said))
      sending.offer(batch(['a1', 'a2', 'a3']))
      await world.advance(5)
      expect([read('sent'), read('rejected')]).toEqual([3 - rejected, rejected])
    }
  })

  test('refused takes a merged request apart, and sends each original once alone', async () => {
    const { world, sending, exporter, read } = scene(seen =>
      text(seen).includes('bad') ? REFUSED : DELIVERED,
    )
    for (const name of ['a1', 'bad2', 'a3']) sending.offer(batch([name, `${name}0`]))
    await world.advance(5)
    expect(exporter.seen.map(seen => names(seen).length)).toEqual([6, 2, 2, 2])
    expect([read('sent'), read('rejected')]).toEqual([4, 2])
    await world.advance(600_000)
    expect(exporter.seen).toHaveLength(4)
  })

  test('refused of a single request is final', async () => {
    const { world, sending, exporter, read } = scene(REFUSED)
    sending.offer(batch(['a1', 'a2']))
    await world.advance(600_000)
    expect(exporter.seen).toHaveLength(1)
    expect(read('rejected')).toBe(2)
  })

  test('too large is halved between originals first, then inside them, down to the one item, which alone is dropped', async () => {
    const { world, sending, exporter, read, lines } = scene(({ bytes }) =>
      bytes.length > 150 ? TOO_LARGE : DELIVERED,
    )
    sending.offer(batch(['a1', 'a2']))
    sending.offer(
      batch(
        Array.from({ length: 20 }, (_, n) => (n === 7 ? `b7${'.'.repeat(400)}` : `b${n}${'.'.repeat(20)}`)),
      ),
    )
    sending.offer(batch(['c1', 'c2']))
    await world.advance(5)
    const delivered = exporter.seen.filter(({ bytes }) => bytes.length <= 150).flatMap(names)
    const all = ['a1', 'a2', ...Array.from({ length: 20 }, (_, n) => `b${n}`), 'c1', 'c2']
    expect(delivered).toEqual(all.filter(name => name !== 'b7'))
    expect([read('sent'), read('dropped', 'too_large')]).toEqual([23, 1])
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1)
  })

  test('busy is asked again with the same request, and expires at last', async () => {
    const { world, sending, exporter, read } = scene(BUSY)
    sending.offer(batch(['a1']))
    await world.advance(5)
    sending.offer(batch(['a2']))
    await world.advance(400_000)
    expect(new Set(exporter.seen.map(seen => names(seen).join()))).toEqual(new Set(['a1', 'a2']))
    expect(read('dropped', 'expired')).toBe(2)
    expect(world.timers()).toBe(0)
  })

  test('from an exporter with a bug costs the request, not the service', async () => {
    const { world, sending, read, lines } = scene(() => {
      throw new Error('a bug')
    })
    sending.offer(batch(['a1']))
    await world.advance(5)
    expect(read('rejected')).toBe(1)
    expect(lines[0].message).toBe('the exporter failed on a request')
  })
})

describe('a destination that asked to wait', () => {
  test('gets nothing from any consumer before that time', async () => {
    const { world, sending, exporter } = scene(seen => (seen.atMs < 10_000 ? busyFor(10_000) : DELIVERED))
    sending.offer(batch(['a1']))
    await world.advance(5)
    for (let n = 2; n < 40; n++) {
      sending.offer(batch([`a${n}`]))
      await world.advance(200)
    }
    expect(exporter.seen).toHaveLength(1)
    await world.advance(10_000)
    for (const { atMs } of exporter.seen.slice(1)) expect(atMs).toBeGreaterThanOrEqual(10_005)
    // What came meanwhile waited in the queue, and went as one.
    expect(
      exporter.seen
        .slice(1)
        .map(seen => names(seen).length)
        .sort(),
    ).toEqual([1, 38])
  })
})

describe('a signal that the destination does not take', () => {
  test('is said once, emptied from the queue, and offered again every five minutes, one batch', async () => {
    const { world, sending, exporter, read, lines } = scene(
      seen => (seen.signal === 'logs' ? UNSUPPORTED : DELIVERED),
      {
        numConsumers: 1,
        maxBatchBytes: 1,
      },
    )
    sending.offer(batch(['l1'], 'logs'))
    sending.offer(batch(['l2'], 'logs'))
    sending.offer(batch(['a1']))
    await world.advance(5)
    expect(read('dropped', 'unsupported', 'log_records')).toBe(2)
    expect(read('sent')).toBe(1)
    expect(sending.unsupported()).toEqual(['logs'])
    expect(sending.offer(batch(['l3'], 'logs'))).toBe('unsupported')
    expect(read('enqueue_failed', 'unsupported', 'log_records')).toBe(1)

    await world.advance(299_990)
    expect(sending.offer(batch(['l4'], 'logs'))).toBe('unsupported')
    await world.advance(10)
    expect(sending.offer(batch(['l5'], 'logs'))).toBe('taken')
    expect(sending.offer(batch(['l6'], 'logs'))).toBe('unsupported')
    await world.advance(5)
    expect(sending.offer(batch(['l7'], 'logs'))).toBe('unsupported')
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1)

    exporter.answer = () => DELIVERED
    await world.advance(300_000)
    expect(sending.offer(batch(['l8'], 'logs'))).toBe('taken')
    await world.advance(5)
    expect(sending.unsupported()).toEqual([])
    expect(sending.offer(batch(['l9'], 'logs'))).toBe('taken')
    expect(lines.at(-1)?.message).toBe('the destination takes logs now')
  })

  test('but was taken before, costs the request alone until it is said three times in a row', async () => {
    const { world, sending, exporter, read } = scene(DELIVERED)
    const send = async (name: string) => {
      const answer = sending.offer(batch([name]))
      await world.advance(5)
      return answer
    }
    await send('a1')
    exporter.answer = () => UNSUPPORTED
    await send('a2')
    await send('a3')
    exporter.answer = () => DELIVERED
    await send('a4')
    exporter.answer = () => UNSUPPORTED
    expect(await send('a5')).toBe('taken')
    expect(await send('a6')).toBe('taken')
    expect(await send('a7')).toBe('taken')
    expect(await send('a8')).toBe('unsupported')
    expect(read('dropped', 'unsupported')).toBe(5)
  })

  test('whose probe finds no answer is probed again by the next batch', async () => {
    const { world, sending, exporter, read } = scene(UNSUPPORTED)
    sending.offer(batch(['a1']))
    await world.advance(300_010)
    exporter.answer = () => BUSY
    expect(sending.offer(batch(['a2']))).toBe('taken')
    await world.advance(10)
    expect(sending.offer(batch(['a3']))).toBe('unsupported')
    await world.advance(300_000)
    expect(read('dropped', 'expired')).toBe(1)
    expect(sending.offer(batch(['a4']))).toBe('taken')
  })
})

describe('stopping', () => {
  const stopped = (lost: readonly { signal: Signal; items: number }[]) =>
    lost.map(({ signal, items }) => `${signal} ${items}`)

  test('delivers what waits, and ends at once', async () => {
    const { world, sending, exporter } = scene(DELIVERED)
    sending.offer(batch(['a1']))
    sending.offer(batch(['l1'], 'logs'))
    expect(await sending.close(world.monotonic() + 20_000)).toEqual([])
    expect(exporter.seen.flatMap(names)).toEqual(['a1', 'l1'])
    expect(world.monotonic()).toBe(0)
    expect(world.timers()).toBe(0)
    expect(exporter.closed).toBe(true)
    expect(sending.offer(batch(['a2']))).toBe('full')
  })

  test('gives each batch one attempt at a dead destination, and says exactly what was left', async () => {
    const { world, sending, exporter, read } = scene(BUSY, { maxBatchBytes: 10, numConsumers: 2 })
    for (let n = 0; n < 8; n++) sending.offer(batch([`a${n}`]))
    sending.offer(batch(['l1', 'l2'], 'logs'))
    await world.advance(10)
    expect(stopped(await sending.close(world.monotonic() + 20_000))).toEqual(['traces 8', 'logs 2'])
    expect(read('dropped', 'shutdown')).toBe(8)
    expect(new Set(exporter.seen.flatMap(names)).size).toBe(10)
    expect(world.monotonic()).toBe(10)
  })

  test('ends at the deadline where the destination hangs, and a late answer changes nothing', async () => {
    let answerLate: (answer: Answer) => void = () => {}
    const { world, sending, read } = scene(() => new Promise(resolve => void (answerLate = resolve)), {
      numConsumers: 1,
    })
    sending.offer(batch(['a1', 'a2']))
    await world.advance(10)
    sending.offer(batch(['a3']))
    const lost = sending.close(world.monotonic() + 20_000)
    await world.advance(19_999)
    expect(read('in_flight')).toBe(2)
    await world.advance(1)
    expect(stopped(await lost)).toEqual(['traces 3'])
    answerLate(DELIVERED)
    await world.settle()
    expect([read('sent'), read('in_flight'), read('queued'), read('dropped', 'shutdown')]).toEqual([
      0, 0, 0, 3,
    ])
    expect(world.timers()).toBe(0)
  })

  test('does not wait for a destination that asked to wait beyond the end', async () => {
    const { world, sending } = scene(busyFor(60_000))
    sending.offer(batch(['a1']))
    await world.advance(10)
    sending.offer(batch(['a2']))
    expect(stopped(await sending.close(world.monotonic() + 20_000))).toEqual(['traces 2'])
    expect(world.monotonic()).toBe(10)
  })

  test('counts only what stopping lost, and only once however often it is asked', async () => {
    const { world, sending } = scene(({ bytes }) => (bytes.length > 20 ? TOO_LARGE : REFUSED))
    sending.offer(batch([`a1${'.'.repeat(40)}`]))
    const lost = sending.close(world.monotonic() + 20_000)
    expect(sending.close(0)).toBe(lost)
    expect(await lost).toEqual([])
  })
})
