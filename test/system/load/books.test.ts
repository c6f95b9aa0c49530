//! Laws of the comparison of logs: what is lost, what came twice, and which of it has an excuse.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { seeded } from '../../kit/random.ts'
import { compareLogs, quantile } from './books.ts'
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
    ) {
      appendFileSync(recorder, requestLine(number, ms, requests.map(idsOf)))
      if (answer !== null) appendFileSync(recorder, `w ${number} ${answer[0]} ${answer[1]}\n`)
    },
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
  expect(again).toMatchObject({ openAtKill: 0, resent: 0, unexplained: [] })
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

test('what came again without a kill or a repetition has no excuse', () => {
  const { sent, came, compare } = logs()
  sent(0, 100)
  came(0, 101, [0])
  came(1, 5000, [0])
  expect(compare().again.unexplained).toHaveLength(10)
  expect(compare({ killsMs: [60, 6000] }).again.unexplained).toHaveLength(10)
})

test('a kill excuses what had no answer then, and nothing that had been answered for a while', () => {
  const { sent, came, compare } = logs()
  for (const request of [0, 1, 2]) sent(request, 100)
  came(0, 101, [0], null)
  came(1, 101, [1], [2000, 'ok'])
  came(2, 101, [2], [1000, 'ok'])
  came(3, 5000, [0, 1, 2])
  const { again } = compare({ killsMs: [2100] })
  expect(again.openAtKill).toBe(20)
  expect(again.unexplained).toEqual([21, 22, 23, 24, 25, 26, 27, 28, 29, 30])
})

test('of two copies in the queue, the one that was open at a kill excuses the third arrival, whenever the other came', () => {
  const { sent, came, compare } = logs()
  sent(0, 100, -1)
  sent(0, 200, 0, 1)
  came(0, 150, [0], null)
  came(1, 210, [0])
  came(2, 5000, [0])
  expect(compare({ killsMs: [2000] }).again).toMatchObject({ openAtKill: 10, resent: 10, unexplained: [] })
  came(3, 6000, [0])
  expect(compare({ killsMs: [2000] }).again.unexplained).toHaveLength(10)
})

test('one lost answer excuses one repetition, not two', () => {
  const { sent, came, compare } = logs()
  sent(0, 100, -1)
  sent(0, 200, 0, 1)
  came(0, 101, [0])
  came(1, 201, [0])
  expect(compare().again).toMatchObject({ openAtKill: 0, resent: 10, unexplained: [] })
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
