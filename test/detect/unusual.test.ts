//! Laws of how unusual a value is: a record that knows the far tail says so, whatever usual values it is shown beside it.
import { expect, test } from 'vitest'
import { ClassRecord, type TailLaw } from '../../src/detect/unusual.ts'
import { forSeeds, logNormal } from '../kit/random.ts'

const DAY_MS = 86_400_000
const PEAKS = 20

/** A day of peaks beyond z = 3, about one an hour, whose tail falls off as a power; and as many usual values as are told. */
function lived(law: TailLaw, usual: number, random: () => number) {
  const record = new ClassRecord({ hourly: 3, scale: 0.14, law })
  const notes: number[] = []
  for (let n = 0; n < PEAKS; n++) notes.push(3 * (1 - random()) ** -0.1)
  for (let n = 0; n < usual; n++) notes.push(Math.min(2.5, logNormal(random, 1.2, 0.5)))
  notes.sort(() => random() - 0.5)
  for (const [n, z] of notes.entries()) {
    record.pass(DAY_MS / notes.length)
    record.noteZ(n, z)
  }
  return record
}

test.each<TailLaw>(['power', 'stretched'])('usual values say nothing about the far tail: %s', law => {
  forSeeds(20, random => {
    const alone = lived(law, 0, random).surprise(8)
    const beside = lived(law, 100, random).surprise(8)
    expect(alone).toBeGreaterThan(5)
    expect(beside).toBeGreaterThan(0.6 * alone)
  })
})

test('what comes once an hour is no surprise, and what comes once a day is one of three', () => {
  forSeeds(20, random => {
    const record = lived('power', 100, random)
    expect(Math.abs(record.surprise(3.05))).toBeLessThan(1)
    const daily = 3 * 24 ** 0.1
    expect(record.surprise(daily)).toBeGreaterThan(2)
    expect(record.surprise(daily)).toBeLessThan(4.5)
  })
})
