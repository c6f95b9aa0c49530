//! The laws of who is let in: files of tokens and passwords, their rotation, and a comparison that tells nothing.
import type * as crypto from 'node:crypto'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Guard } from '../../src/edge/auth.ts'
import { recordingLog } from '../kit/log.ts'
import { simulatedWorld } from '../kit/world.ts'

const counts = vi.hoisted(() => ({ compared: 0 }))
vi.mock('node:crypto', async original => {
  const real = await original<typeof crypto>()
  return {
    ...real,
    timingSafeEqual(a: Buffer, b: Buffer) {
      counts.compared++
      return real.timingSafeEqual(a, b)
    },
  }
})

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const guards: Guard[] = []
afterEach(() => guards.splice(0).forEach(guard => void guard.stop()))

async function scene(files: { tokens?: string; users?: string }) {
  const world = simulatedWorld(9)
  const { log, lines } = recordingLog()
  const write = (path: string, text: string) => world.disk.files.set(path, Buffer.from(text))
  for (const [path, text] of Object.entries(files)) write(path, text)
  const guard = await Guard.open(
    {
      bearerTokenFile: files.tokens === undefined ? null : 'tokens',
      basicFile: files.users === undefined ? null : 'users',
    },
    { world, log },
  )
  if (guard === null) throw new Error('everybody is let in')
  guards.push(guard)
  return { guard, world, lines, write }
}

test('a token is let in whole, by its scheme in any case, and by nothing else', async () => {
  const { guard } = await scene({ tokens: '# ours\n\nalpha-1\r\n  beta/2==  \n' })
  for (const header of ['Bearer alpha-1', 'bearer alpha-1', 'BEARER  beta/2==', 'Bearer alpha-1 '])
    expect(guard.admits(header), header).toBe(true)
  const strangers = [
    undefined,
    '',
    'alpha-1',
    'Bearer',
    'Bearer ',
    'Bearer alpha',
    'Bearer alpha-12',
    'Bearer ALPHA-1',
    'Bearer alpha-1, Bearer alpha-1',
    'Basic alpha-1',
    basic('alpha-1'),
    basic('bearer:alpha-1'),
    'Token alpha-1',
    'Bearer # ours',
    `Bearer ${'x'.repeat(16_000)}`,
  ]
  for (const header of strangers) expect(guard.admits(header), header).toBe(false)
})

test('a name is let in with its password, whatever characters it has', async () => {
  const { guard } = await scene({ users: 'ada:lo:ve lace \nbob:größe\n' })
  expect(guard.admits(basic('ada:lo:ve lace '))).toBe(true)
  expect(guard.admits(basic('bob:größe'))).toBe(true)
  for (const text of ['ada:lo', 'ada:', 'ada', 'bob:lo:ve lace ', ':', '', 'Ada:lo:ve lace '])
    expect(guard.admits(basic(text)), text).toBe(false)
  expect(guard.admits('Bearer ada:lo:ve')).toBe(false)
  expect(guard.challenge).toBe('Basic realm="otlier", charset="UTF-8"')
})

test('with both files either is enough, and what is asked for names both', async () => {
  const { guard } = await scene({ tokens: 't1', users: 'u:p' })
  expect([guard.admits('Bearer t1'), guard.admits(basic('u:p')), guard.admits(basic('t1:p'))]).toEqual([
    true,
    true,
    false,
  ])
  expect(guard.challenge).toBe('Bearer realm="otlier", Basic realm="otlier", charset="UTF-8"')
})

test('the first, the last, none: as many digests are compared', async () => {
  const { guard } = await scene({ tokens: Array.from({ length: 100 }, (_, n) => `token-${n}`).join('\n') })
  for (const shown of ['token-0', 'token-99', 'token-100', 't', 'token-0'.repeat(1000)]) {
    counts.compared = 0
    guard.admits(`Bearer ${shown}`)
    expect([shown.length, counts.compared]).toEqual([shown.length, 100])
  }
})

describe('at the start', () => {
  test.each([
    ['a missing file', undefined, /^auth\.bearer_token_file: tokens does not exist$/],
    ['an empty file', '', /^auth\.bearer_token_file: tokens holds nothing: nobody would be let in$/],
    ['a file of comments', '# none\n\n', /holds nothing/],
    [
      'a token that cannot be sent',
      'fine\nse cret',
      /^auth\.bearer_token_file: line 2 of tokens is no token/,
    ],
    ['a file of another kind', 'x'.repeat(2 ** 20 + 1), /is larger than 1048576 bytes/],
    ['more than anybody has', 'a\n'.repeat(1001), /more than 1000 lines/],
  ])('%s is an error that names the setting, and quotes nothing', async (_, text, why) => {
    const world = simulatedWorld(1)
    if (text !== undefined) world.disk.files.set('tokens', Buffer.from(text))
    const open = Guard.open({ bearerTokenFile: 'tokens', basicFile: null }, { world, ...recordingLog() })
    const error: Error = await open.then(
      () => new Error('it opened'),
      (failed: Error) => failed,
    )
    expect(error.message).toMatch(why)
    expect(error.message).not.toMatch(/se cret/)
    expect(world.timers()).toBe(0)
  })

  test('a file that may not be read is named', async () => {
    const world = simulatedWorld(1)
    world.disk.failure = new Error('EACCES')
    const open = Guard.open({ bearerTokenFile: null, basicFile: 'users' }, { world, ...recordingLog() })
    await expect(open).rejects.toThrow('auth.basic_file: users cannot be read')
  })

  test('a line without a password is named by its number', async () => {
    await expect(scene({ users: 'ada:love\nbob:\n' })).rejects.toThrow('line 2 of users is not user:password')
  })
})

describe('a file that changes', () => {
  test('counts within ten seconds, for what it lets in and for what it no longer does', async () => {
    const { guard, world, lines, write } = await scene({ tokens: 'old\nboth' })
    write('tokens', 'both\nnew')
    await world.advance(9_999)
    expect([guard.admits('Bearer old'), guard.admits('Bearer new')]).toEqual([true, false])
    await world.advance(1)
    expect(['old', 'both', 'new'].map(token => guard.admits(`Bearer ${token}`))).toEqual([false, true, true])
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'files have changed: from now on what they hold is used',
        fields: { files: ['tokens'] },
      },
    ])
  })

  test.each([
    ['is gone', null, /does not exist/],
    ['is emptied', '', /holds nothing/],
    ['is broken', 'old\nno token', /line 2 of tokens is no token/],
  ])('and %s keeps what it held, and is told once', async (_, text, cause) => {
    const { guard, world, lines, write } = await scene({ tokens: 'old' })
    if (text === null) world.disk.files.delete('tokens')
    else write('tokens', text)
    await world.advance(60_000)
    expect(guard.admits('Bearer old')).toBe(true)
    expect(lines).toEqual([
      {
        level: 'error',
        message: 'files have changed and cannot be used: what they held before stays in use',
        fields: { files: ['tokens'], cause: expect.stringMatching(cause) },
      },
    ])
    write('tokens', 'new')
    await world.advance(10_000)
    expect([guard.admits('Bearer old'), guard.admits('Bearer new')]).toEqual([false, true])
  })

  test('and is well again at the next look was only being written', async () => {
    const { world, lines, write } = await scene({ tokens: 'old' })
    write('tokens', '')
    await world.advance(10_000)
    write('tokens', 'old')
    await world.advance(60_000)
    expect(lines).toEqual([])
  })
})
