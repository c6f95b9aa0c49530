//! The laws of the bytes on disk: what is written is read back, and what is damaged is never taken for a record.
import { describe, expect, test } from 'vitest'
import {
  bodyOf,
  decodeMarks,
  encodeHeader,
  encodeMarks,
  HEAD_BYTES,
  HEADER_BYTES,
  head,
  readSalt,
} from '../../../src/flow/disk/format.ts'
import { type Stretch, walk } from '../../../src/flow/disk/walk.ts'
import { type CheckedBatch, SIGNALS } from '../../../src/flow/sink.ts'
import { add, noItems } from '../../../src/flow/storage.ts'
import { between, forSeedsAsync, int, pick, type Random } from '../../kit/random.ts'
import { simulatedWorld } from '../../kit/world.ts'

const bytesOf = (random: Random, length: number) => Uint8Array.from({ length }, () => int(random, 256))

/** A segment of random batches, and where each of its records begins. */
function segment(random: Random, count: number) {
  const salt = bytesOf(random, 8)
  const parts: Uint8Array[] = [head(salt)]
  const batches: CheckedBatch[] = []
  const starts: number[] = []
  const before = noItems()
  for (let index = 0; index < count; index++) {
    const headers: Record<string, string> = int(random, 2) === 0 ? {} : { tenant: pick(random, ['x', 'ü']) }
    const batch: CheckedBatch = {
      signal: pick(random, SIGNALS),
      items: int(random, 100),
      receivedMs: 1e12 + index,
      headers,
      bytes: bytesOf(random, int(random, 300)),
    }
    starts.push(parts.reduce((sum, part) => sum + part.length, 0))
    const body = bodyOf(batch)
    const { signal, items, receivedMs } = batch
    parts.push(
      encodeHeader(
        salt,
        { sequence: 7 + index, index, signal, items, receivedMs, before: [...before] },
        body,
      ),
    )
    parts.push(...body.parts)
    add(before, signal, items)
    batches.push(batch)
  }
  return { salt, bytes: Buffer.concat(parts), batches, starts }
}

async function walked(bytes: Uint8Array, salt: Uint8Array): Promise<Stretch[]> {
  const { disk } = simulatedWorld(1)
  disk.files.set('/x', bytes)
  const found: Stretch[] = []
  for await (const stretch of walk(await disk.open('/x', false), salt, HEAD_BYTES, bytes.length))
    found.push(stretch)
  return found
}

const plain = ({ signal, items, receivedMs, headers, bytes }: CheckedBatch) => ({
  signal,
  items,
  receivedMs,
  headers: { ...headers },
  bytes: Buffer.from(bytes).toString('hex'),
})

describe('a segment', () => {
  test('gives back every batch as it was written, whatever it holds', () =>
    forSeedsAsync(50, async random => {
      const { salt, bytes, batches } = segment(random, between(random, 1, 20))
      const found = await walked(bytes, salt)
      expect(found.map(({ batch }) => batch && plain(batch))).toEqual(batches.map(plain))
      expect(found.map(({ header }) => header?.index)).toEqual(batches.map((_, at) => at))
      expect(Buffer.from(readSalt(bytes) ?? [])).toEqual(Buffer.from(salt))
    }))

  test('with a bit turned over loses the one record at the most, and never gives a changed one', () =>
    forSeedsAsync(300, async random => {
      const { salt, bytes, batches, starts } = segment(random, between(random, 2, 8))
      const at = between(random, HEAD_BYTES, bytes.length - 1)
      bytes[at] ^= 1 << int(random, 8)
      const hit = starts.findLastIndex(start => start <= at)
      const found = (await walked(bytes, salt)).flatMap(({ batch }) => (batch === null ? [] : [plain(batch)]))
      expect(found).toEqual(batches.filter((_, index) => index !== hit).map(plain))
    }))

  test('cut off anywhere still gives every record before the cut', () =>
    forSeedsAsync(100, async random => {
      const { salt, bytes, batches, starts } = segment(random, between(random, 1, 6))
      const cut = between(random, HEAD_BYTES, bytes.length - 1)
      const ends = [...starts.slice(1), bytes.length]
      const found = (await walked(bytes.subarray(0, cut), salt)).flatMap(({ batch }) => batch ?? [])
      expect(found.map(plain)).toEqual(batches.filter((_, index) => ends[index] <= cut).map(plain))
    }))

  test('is read with its salt from the first record where its head is damaged', () =>
    forSeedsAsync(20, async random => {
      const { salt, bytes } = segment(random, 2)
      bytes.fill(0, 0, HEAD_BYTES)
      expect(Buffer.from(readSalt(bytes) ?? [])).toEqual(Buffer.from(salt))
    }))

  test('is not fooled by a request that holds a whole record of another segment', () =>
    forSeedsAsync(20, async random => {
      const inner = segment(random, 3)
      const { salt, starts, bytes } = segment(random, 1)
      const batch = { signal: 'traces', items: 1, receivedMs: 0, headers: {}, bytes: inner.bytes } as const
      const body = bodyOf(batch)
      const of = {
        sequence: 8,
        index: 1,
        signal: 'traces',
        items: 1,
        receivedMs: 0,
        before: noItems(),
      } as const
      const whole = Buffer.concat([bytes, encodeHeader(salt, of, body), ...body.parts])
      // Its header is damaged, so the walk has to look inside.
      whole[bytes.length + 9] ^= 1
      const found = await walked(whole, salt)
      expect(found.filter(({ batch }) => batch !== null)).toHaveLength(starts.length)
    }))

  test('of records larger than what is read at once is found again behind damage', async () => {
    const salt = Buffer.from('saltsalt')
    const large = (fill: number) => {
      const bytes = Buffer.alloc(3 * 2 ** 20, fill)
      return { signal: 'logs', items: 1, receivedMs: 0, headers: {}, bytes } as const
    }
    const record = (index: number) => {
      const body = bodyOf(large(index))
      const of = {
        sequence: index,
        index,
        signal: 'logs',
        items: 1,
        receivedMs: 0,
        before: [0, 0, index],
      } as const
      return [encodeHeader(salt, { ...of, before: [0, 0, index] }, body), ...body.parts]
    }
    const bytes = Buffer.concat([head(salt), ...record(0), ...record(1), ...record(2)])
    bytes[HEAD_BYTES + HEADER_BYTES + 3 * 2 ** 20 + 20] ^= 1
    const found = await walked(bytes, salt)
    expect(found.map(({ header }) => header?.index ?? null)).toEqual([0, null, 2])
    expect(found.at(-1)?.batch?.bytes[0]).toBe(2)
  })
})

test('marks are read back, and what is torn, damaged or of another segment is no mark', () =>
  forSeedsAsync(50, async random => {
    const salt = bytesOf(random, 8)
    const marks = Array.from({ length: between(random, 1, 10) }, (_, index) => ({
      index,
      items: int(random, 1000),
      signal: pick(random, SIGNALS),
    }))
    const bytes = Buffer.from(encodeMarks(salt, marks))
    expect([...decodeMarks(salt, bytes)]).toEqual(marks)
    expect([...decodeMarks(bytesOf(random, 8), bytes)]).toEqual([])
    const cut = int(random, bytes.length)
    expect([...decodeMarks(salt, bytes.subarray(0, cut))]).toEqual(marks.slice(0, Math.floor(cut / 16)))
    const at = int(random, bytes.length)
    bytes[at] ^= 1 << int(random, 8)
    const kept = [...decodeMarks(salt, bytes)]
    // Three bytes of each stay unused.
    expect(kept).toEqual(marks.filter(({ index }) => index !== Math.floor(at / 16)))
  }))
