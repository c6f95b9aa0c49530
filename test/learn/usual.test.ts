//! Laws of what is usual of drawn spans: in a row it is what it would be alone, and who is forgotten gives the row back.
import { expect, test } from 'vitest'
import { NO_ROW, Usual, Usuals } from '../../src/learn/usual.ts'

function teach(usual: Usual, n: number) {
  for (let span = 0; span < 100; span++)
    usual.add(1 + (span % 3), 15 + Math.sin(span * n), span % (7 + n) === 0)
  usual.halve()
}

test('neighbours learn as each would alone, also where another was before', () => {
  const usuals = new Usuals()
  const owners = Array.from({ length: 100 }, () => ({ usualRow: NO_ROW }))
  for (const owner of owners) teach(usuals.begin(owner), 50)
  for (const owner of owners.slice(0, 60)) usuals.forget(owner)
  expect([usuals.size, usuals.of(owners[0])]).toEqual([40, null])
  for (const [n, owner] of owners.slice(0, 60).entries()) teach(usuals.begin(owner), n)
  expect(usuals.size).toBe(100)
  for (const [n, owner] of owners.entries()) {
    const alone = new Usual()
    teach(alone, n < 60 ? n : 50)
    const own = usuals.of(owner) as Usual
    for (const hurt of ['slow', 'failed'] as const)
      for (const [key, value] of Object.entries(alone.before(hurt)))
        expect(own.before(hurt)).toHaveProperty(key, expect.closeTo(value, 4))
  }
})
