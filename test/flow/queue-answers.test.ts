//! The laws of the sending queue: what follows from each answer of the destination, and from the end of the service.
import { describe, expect, test } from 'vitest'
import type { Answer, Signal } from '../../src/flow/sink.ts'
import { BUSY, busyFor, DELIVERED, partial, REFUSED, TOO_LARGE, UNSUPPORTED } from '../kit/exporter.ts'
import { batch, names, pending, scene, text } from './queue-scene.ts'

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

  test('busy is told when it begins and when it ends, not for every request', async () => {
    const { world, sending, exporter, lines } = scene(BUSY, { maxBatchBytes: 1 })
    for (let n = 0; n < 5; n++) sending.offer(batch([`a${n}`]))
    await world.advance(20_000)
    exporter.answer = () => DELIVERED
    await world.advance(60_000)
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      'warn: the destination is away or busy; what is for it waits',
      'info: the destination answers again',
    ])
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

  test('asks a destination that is away until the deadline, and says exactly what was left', async () => {
    const { world, sending, exporter, read } = scene(BUSY, { maxBatchBytes: 10, numConsumers: 2 })
    for (let n = 0; n < 8; n++) sending.offer(batch([`a${n}`]))
    sending.offer(batch(['l1', 'l2'], 'logs'))
    await world.advance(10)
    expect(stopped(sending.undelivered())).toEqual(['traces 8', 'logs 2'])
    const lost = sending.close(world.monotonic() + 20_000)
    await world.advance(20_000)
    expect(stopped(await lost)).toEqual(['traces 8', 'logs 2'])
    expect(read('dropped', 'shutdown')).toBe(8)
    // Once a second at least.
    expect(exporter.seen.length).toBeGreaterThan(40)
    expect(world.timers()).toBe(0)
  })

  test('gives all to a destination that comes back before the deadline', async () => {
    const { world, sending, exporter } = scene(BUSY, { maxBatchBytes: 10, numConsumers: 2 })
    for (let n = 0; n < 8; n++) sending.offer(batch([`a${n}`]))
    // Long enough for pauses of half a minute.
    await world.advance(120_000)
    const lost = sending.close(world.monotonic() + 20_000)
    await world.advance(18_000)
    exporter.answer = () => DELIVERED
    await world.advance(1000)
    expect(stopped(await lost)).toEqual([])
  })

  test('tells what is left also where the exporter cannot be closed', async () => {
    const { world, sending, exporter, lines } = scene(pending)
    exporter.close = async () => {
      throw new TypeError('a bug')
    }
    sending.offer(batch(['a1']))
    const lost = sending.close(world.monotonic() + 1000)
    await world.advance(1000)
    expect(stopped(await lost)).toEqual(['traces 1'])
    expect(lines.at(-1)?.message).toBe('the exporter failed to close')
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
