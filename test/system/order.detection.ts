//! Laws of order in two more worlds, and in more ways. In the last world spans are few and far between.
import { expect, test } from 'vitest'
import { exportsOf } from '../kit/stretch.ts'
import { joined, sameInWorld, tell, trouble } from './order.ts'

sameInWorld(27)
sameInWorld(23)

test('the same to the byte a hundred times as fast, and with ticks at other moments and requests of two seconds of everything', async () => {
  const exported = exportsOf(trouble(24))
  const usual = await tell(exported)
  expect(await tell(exported, { speed: 0.01 })).toEqual(usual)
  expect(await tell(joined(exported, 2_000), { tickMs: 3_700 })).toEqual(usual)
})
