//! The laws of faults on demand: they come by a socket that only this user reaches, and what is wrong with them is said.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readWish, takeWishes, usualSocket, type Wish, wishFor } from '../../../src/commands/demo/control.ts'
import type { Posts } from '../../../src/commands/demo/posts.ts'

let folder = ''
const open: Posts[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'otlier-demo-test-'))
})
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function taking(path: string) {
  const taken: Wish[] = []
  const posts = await takeWishes(path, wish => {
    taken.push(wish)
    return wish.forMs < 60_000 ? null : 'not for so long'
  })
  if (typeof posts === 'string') throw new Error(posts)
  open.push(posts)
  return taken
}

test('a fault that is asked for reaches the demo', async () => {
  const path = join(folder, 'deeper', 'demo.sock')
  const taken = await taking(path)
  expect(await wishFor({ name: 'silence', forMs: 30_000 }, path)).toBeNull()
  expect(taken).toEqual([{ name: 'silence', forMs: 30_000 }])
  expect(await wishFor({ name: 'silence', forMs: 60_000 }, path)).toBe('not for so long')
  expect(statSync(join(folder, 'deeper')).mode & 0o777).toBe(0o700)
})

test('without a demo that is said, also where one was killed and left its socket', async () => {
  const path = join(folder, 'demo.sock')
  expect(await wishFor({ name: 'silence', forMs: 1000 }, path)).toMatch(/no demo is running/)
  writeFileSync(path, '')
  expect(await wishFor({ name: 'silence', forMs: 1000 }, path)).toMatch(/no demo is running/)
  const taken = await taking(path)
  expect(await wishFor({ name: 'silence', forMs: 1000 }, path)).toBeNull()
  expect(taken).toHaveLength(1)
})

test('a second demo leaves the socket to the first', async () => {
  const path = join(folder, 'demo.sock')
  const taken = await taking(path)
  const second = await takeWishes(path, () => null)
  expect(typeof second === 'string' ? second : 'it took the socket').toMatch(/another demo/)
  expect(await wishFor({ name: 'silence', forMs: 1000 }, path)).toBeNull()
  expect(taken).toHaveLength(1)
})

test.each([
  ['nothing', '', /no JSON/],
  ['a fault that does not exist', '{"name":"__proto__","forMs":5000}', /no such fault/],
  ['no name', '{"forMs":5000}', /no such fault/],
  ['null', 'null', /no such fault/],
  ['no time', '{"name":"silence"}', /from 1s to 1h/],
  ['a time without end', '{"name":"silence","forMs":1e300}', /from 1s to 1h/],
])('%s is refused with a reason', (_, body, why) => {
  expect(String(readWish(body))).toMatch(why)
})

test('the socket stands where nobody else reaches it', () => {
  expect(usualSocket('/run/user/7')).toBe('/run/user/7/otlier-demo.sock')
  for (const none of [undefined, '']) expect(usualSocket(none)).toMatch(/otlier-demo-\d+\/otlier-demo\.sock$/)
})
