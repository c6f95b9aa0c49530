//! Laws of rows that share their pieces: what is put in is what is read, whatever is given back and taken between.
import { expect, test } from 'vitest'
import { Hashed } from '../../src/base/hashed.ts'
import { CountSlots, doubleSlots } from '../../src/base/slots.ts'
import { int, seeded } from '../kit/random.ts'

const WIDTH = 5
const ODD = [0, 1, 255, 256, 65_535, 65_536, 0.1, -3, 2 ** 53, Number.POSITIVE_INFINITY, Number.NaN]

test('a row of counts reads as an array would, however large its numbers become and whoever else comes and goes', () => {
  const random = seeded(5)
  const slots = new CountSlots(WIDTH)
  const rows = new Map<number[], number>()
  for (let step = 0; step < 5000; step++) {
    const all = [...rows.keys()]
    const one = all[int(random, all.length)]
    const what = int(random, 10)
    if (all.length === 0 || what === 0) rows.set(new Array(WIDTH).fill(0), slots.take())
    else if (what === 1 && all.length > 100) {
      slots.give(rows.get(one) as number)
      rows.delete(one)
    } else {
      const nth = int(random, WIDTH)
      one[nth] = random() < 0.9 ? int(random, 300) : ODD[int(random, ODD.length)]
      rows.set(one, slots.put(rows.get(one) as number, nth, one[nth]))
    }
  }
  expect(slots.size).toBe(rows.size)
  for (const [expected, row] of rows) {
    const from = slots.fromOf(row)
    expect([...slots.pieceOf(row).subarray(from, from + WIDTH)]).toEqual(expected)
  }
})

test('a row that was given back comes again, and is empty; what nobody uses takes no room', () => {
  const slots = doubleSlots(WIDTH)
  const rows = Array.from({ length: 200 }, () => slots.take())
  for (const row of rows) slots.pieceOf(row).fill(row + 1, slots.fromOf(row), slots.fromOf(row) + WIDTH)
  for (const row of rows) expect(slots.pieceOf(row)[slots.fromOf(row) + WIDTH - 1]).toBe(row + 1)
  for (const row of rows) slots.give(row)
  expect([slots.size, slots.pieces]).toEqual([0, 0])
  const again = Array.from({ length: 200 }, () => slots.take())
  expect(new Set(again)).toEqual(new Set(rows))
  for (const row of again) {
    const from = slots.fromOf(row)
    expect([...slots.pieceOf(row).subarray(from, from + WIDTH)]).toEqual(new Array(WIDTH).fill(0))
  }
})

test('what is filed by its text is found by it, and what is not there is not', () => {
  const things = Array.from({ length: 1000 }, (_, n) => ({ text: `thing ${n % 7}|${n}` }))
  const table = new Hashed<{ text: string }>()
  const is = (thing: { text: string }, text: string) => thing.text === text
  for (const thing of things) table.add(thing.text, thing)
  for (const thing of things) expect(table.find(thing.text, is)).toBe(thing)
  expect(table.find('thing 0|1000', is)).toBeUndefined()
  table.refill(things.slice(500), ({ text }) => text)
  expect(table.find(things[499].text, is)).toBeUndefined()
  expect(table.find(things[500].text, is)).toBe(things[500])
})
