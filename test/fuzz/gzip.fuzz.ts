//! Mutated gzip bodies: what does not unpack within the limit is refused, and what does is judged by its framing.

import { gunzipSync, gzipSync } from 'node:zlib'
import { test } from 'vitest'
import { decompress } from '../../src/edge/decompress.ts'
import { check } from '../../src/wire/check.ts'
import { mutateGzip } from '../kit/mutate.ts'
import { pick } from '../kit/random.ts'
import { type Signal, sameBytes, toHex } from '../oracle/bytes.ts'
import { framing } from '../oracle/framing.ts'
import { entry, SIGNALS } from './corpus.ts'
import { fuzz, timeoutMs } from './run.ts'

const INPUTS = 20_000

const MAX_BYTES = 2 ** 17

const room = { hold: () => true }

/** The plain bytes, or the name of the refusal. */
async function unpack(packed: Uint8Array): Promise<Uint8Array | string> {
  try {
    return await decompress('gzip', packed, MAX_BYTES, room)
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}

function lawful(packed: Uint8Array): Uint8Array | string {
  try {
    return gunzipSync(packed, { maxOutputLength: MAX_BYTES })
  } catch (error) {
    const isLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
    return isLarge ? 'OTLIER_TOO_LARGE' : 'OTLIER_MALFORMED'
  }
}

function judge(
  signal: Signal,
  packed: Uint8Array,
  plain: Uint8Array | string,
  wanted: Uint8Array | string,
): string {
  if (typeof plain === 'string' || typeof wanted === 'string') {
    return plain === wanted
      ? ''
      : `unpacks to ${toText(plain)} instead of ${toText(wanted)}: ${toHex(packed)}`
  }
  if (!sameBytes(plain, wanted)) return `unpacks to other bytes: ${toHex(packed)}`
  const framed = framing(signal, plain)
  return check(signal, plain) === (framed.ok ? framed.items : -1) ? '' : `is judged wrong: ${toHex(plain)}`
}

function toText(plain: Uint8Array | string): string {
  return typeof plain === 'string' ? plain : `${plain.length} bytes`
}

test('a mutated gzip body is refused exactly when it does not unpack or its framing is broken', {
  timeout: timeoutMs(INPUTS),
}, async () => {
  const packed = new Map<Uint8Array, Uint8Array>()
  const pack = (plain: Uint8Array) => packed.getOrInsertComputed(plain, () => gzipSync(plain))
  await fuzz({
    name: 'gzip',
    inputs: INPUTS,
    one: async random => {
      const signal = pick(random, SIGNALS)
      const [one, other] = [pack(entry(random, signal).bytes), pack(entry(random, signal).bytes)]
      const input = mutateGzip(random, one, other)
      const found = judge(signal, input, await unpack(input), lawful(input))
      if (found !== '') throw new Error(`${signal} ${found}`)
    },
  })
})
