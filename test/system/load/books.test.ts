//! Laws of the comparison of logs: what is lost, what came twice, and which of it has an excuse.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { seeded } from '../../kit/random.ts'
import { compareLogs, type Life, quantile } from './books.ts'
import { countOf, idsIn, requestWith } from './ids.ts'
import { requestLine } from './recorder.ts'

/** Two logs, written as the programs do, of requests with ten spans each. */
function logs() {
  const folder = mkdtempSync(join(tmpdir(), 'otlier-books-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const [sender, recorder] = [join(folder, 'sender.log'), join(folder, 'recorder.log')]
  const idsOf = (request: number) => [request * 10 + 1, request * 10 + 10] as const
  return {
    sent(request: number, ms: number, code: number | null = 0, nth = 0) {
      const [first, last] = idsOf(request)
      appendFileSync(sender, `s ${request} ${nth} ${ms} ${first}-${last}\n`)
      if (code !== null) appendFileSync(sender, `a ${request} ${nth} ${ms + 1} ${code}\n`)
    },
    came(
      number: number,
      ms: number,
      requests: readonly number[],
      answer: [number, string] | null = [ms + 1, 'ok'],
      life = 0,
    ) {
      appendFileSync(recorder, requestLine(number, ms, requests.map(idsOf), String(life)))
      if (answer !== null) appendFileSync(recorder, `w ${number} ${answer[0]} ${answer[1]}\n`)
    },
    /** One that ended then, with the records of these requests on its disk. */
    life: (endMs: number, requests: readonly number[]): Life => ({ endMs, waiting: requests.map(idsOf) }),
    compare: (options: Parameters<typeof compareLogs>[2] = {}) => compareLogs([sender], recorder, options),
  }
}

test('what was acknowledged and came is fine, alone or merged with others, and its delay is measured', () => {
  const { sent, came, compare } = logs()
  sent(0, 100)
  sent(1, 110)
  came(0, 125, [0, 1])
  const { acknowledged, arrived, taken, lost, strangers, again, delaysMs } = compare()
  expect([acknowledged, arrived, taken, lost, strangers]).toEqual([20, 20, 20, [], 0])
  expect(again).toMatchObject({ waited: 0, resent: 0, unexplained: [] })
  expect([quantile(delaysMs, 0), quantile(delaysMs, 0.99)]).toEqual([15, 25])
  expect(compare({ fromMs: 105 }).delaysMs).toHaveLength(10)
})

test('what was acknowledged and never came is lost; what was refused or never answered is not', () => {
  const { sent, came, compare } = logs()
  sent(0, 100)
  sent(1, 100, 3)
  sent(2, 100, null)
  came(0, 101, [])
  expect(compare().lost).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
})

test('what a backend turned away has not come', () => {
  const { sent, came, compare } = logs()
  sent(0, 100)
  came(0, 101, [0], [102, 'status-14'])
  expect(compare().lost).toHaveLength(10)
  came(1, 103, [0])
  expect(compare()).toMatchObject({ lost: [], again: { unexplained: [] }, taken: 10 })
})

test('what a backend has left without an answer until the end is lost: nobody knows that it has it', () => {
  const { sent, came, compare } = logs()
  sent(0, 100)
  came(0, 101, [0], null)
  expect(compare()).toMatchObject({ arrived: 10, taken: 0 })
  expect(compare().lost).toHaveLength(10)
})

test('the last life has accounts of its own: what it accepted, what it may have, and what it sent, twice where it did', () => {
  const { sent, came, compare, life } = logs()
  sent(0, 100)
  sent(1, 2100)
  sent(2, 2101, -1)
  sent(3, 2102, 14)
  came(0, 101, [0])
  came(1, 2110, [0, 1], undefined, 1)
  came(2, 2115, [1], undefined, 1)
  came(3, 2120, [2], [2121, '14'], 1)
  const { last } = compare({ lives: [life(2000, [0])] })
  expect(last).toEqual({ accepted: 10, unanswered: 10, sent: 30 })
})

test('what came again without a kill or a repetition has no excuse', () => {
  const { sent, came, compare, life } = logs()
  sent(0, 100)
  came(0, 101, [0])
  came(1, 5000, [0])
  expect(compare().again.unexplained).toHaveLength(10)
  expect(compare({ lives: [life(6000, [0])] }).again.unexplained).toHaveLength(10)
})

test('what waited on disk at a kill may come once more, and nothing else, whenever it had been answered', () => {
  const { sent, came, compare, life } = logs()
  for (const request of [0, 1, 2]) sent(request, 100)
  came(0, 101, [0], null)
  came(1, 101, [1], [1999, 'ok'])
  came(2, 101, [2], [1999, 'ok'])
  came(3, 2050, [0, 1, 2], undefined, 1)
  const compared = compare({ lives: [life(2000, [0, 1])] })
  expect(compared).toMatchObject({ lost: [], unrecorded: [], recordedWithinMs: 1 })
  expect(compared.again.waited).toBe(20)
  expect(compared.again.unexplained).toEqual([21, 22, 23, 24, 25, 26, 27, 28, 29, 30])
  // Once more is once.
  came(4, 3000, [0], undefined, 1)
  expect(compare({ lives: [life(2000, [0, 1])] }).again.unexplained).toHaveLength(20)
  // What a later kill found counts for the life after it.
  expect(compare({ lives: [life(2000, []), life(2010, [0, 1, 2])] }).again.unexplained).toHaveLength(40)
})

test('what the killed process had sent may be read after the kill: it says itself by whom it was sent', () => {
  const { sent, came, compare, life } = logs()
  sent(0, 100)
  came(0, 2040, [0], [2041, 'ok'], 1)
  came(1, 2045, [0], null, 0)
  expect(compare({ lives: [life(2000, [0])] }).again).toEqual({ waited: 10, resent: 0, unexplained: [] })
})

test('an answer that had left the backend before senders were served twice in a row must be recorded', () => {
  const { sent, came, compare, life } = logs()
  sent(0, 100)
  came(0, 101, [0])
  const lives = [life(2000, [0])]
  came(1, 110, [])
  sent(1, 120)
  sent(2, 120.5)
  expect(compare({ lives }).unrecorded).toEqual([])
  sent(3, 125)
  expect(compare({ lives }).unrecorded).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(compare({ lives: [life(2000, [])] }).unrecorded).toEqual([])
  // Of two records of the same spans one may wait.
  sent(0, 105, 0, 1)
  expect(compare({ lives }).unrecorded).toEqual([])
})

test('nothing has to be recorded by the order of things where the backend has done nothing since', () => {
  const { sent, came, compare, life } = logs()
  sent(0, 100)
  came(0, 101, [0], [115, 'ok'])
  for (const [request, ms] of [
    [1, 120],
    [2, 125],
    [3, 130],
  ])
    sent(request, ms)
  expect(compare({ lives: [life(2000, [0])] }).unrecorded).toEqual([])
})

test('of two records of the same spans each comes once, whether it was found on disk or is new', () => {
  const { sent, came, compare, life } = logs()
  sent(0, 100, -1)
  sent(0, 2200, 0, 1)
  came(0, 150, [0], null)
  came(1, 2210, [0], undefined, 1)
  came(2, 2215, [0], undefined, 1)
  const lives = [life(2000, [0])]
  expect(compare({ lives }).again).toEqual({ waited: 10, resent: 10, unexplained: [] })
  came(3, 6000, [0], undefined, 1)
  expect(compare({ lives }).again.unexplained).toHaveLength(10)
})

test('an attempt that was told that nothing is kept excuses nothing', () => {
  const { sent, came, compare } = logs()
  sent(0, 100, 14)
  sent(0, 200, 0, 1)
  came(0, 201, [0])
  came(1, 301, [0])
  expect(compare().again.unexplained).toHaveLength(10)
})

test('one lost answer excuses one repetition, not two', () => {
  const { sent, came, compare } = logs()
  sent(0, 100, -1)
  sent(0, 200, 0, 1)
  came(0, 101, [0])
  came(1, 201, [0])
  expect(compare().again).toMatchObject({ waited: 0, resent: 10, unexplained: [] })
  came(2, 301, [0])
  expect(compare().again.unexplained).toHaveLength(10)
})

test('spans that nobody sent are told', () => {
  const { sent, came, compare } = logs()
  sent(0, 100)
  came(0, 101, [0, 7])
  expect(compare().strangers).toBe(10)
})

test('the numbers of a request are read back from its bytes', () => {
  const bytes = requestWith([5, 24], Date.now(), seeded(1))
  expect(idsIn(bytes)).toEqual([[5, 24]])
  const merged = Buffer.concat([
    bytes,
    requestWith([25, 30], 0, seeded(1)),
    requestWith([1, 2], 0, seeded(1)),
  ])
  expect(idsIn(merged)).toEqual([
    [5, 30],
    [1, 2],
  ])
  expect(countOf(idsIn(merged))).toBe(28)
})
