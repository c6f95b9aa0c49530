//! The laws of the machine's own disk, as far as a log relies on them.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { realDisk } from '../../src/base/world.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'otlier-disk-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('a file is made once, opened where it is, and only its user may read it', async () => {
  const path = join(folder, 'a')
  await expect(realDisk.open(path, false)).rejects.toMatchObject({ code: 'ENOENT' })
  await (await realDisk.open(path, true)).close()
  await expect(realDisk.open(path, true)).rejects.toMatchObject({ code: 'EEXIST' })
  await (await realDisk.open(path, false)).close()
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('any number of parts is written in order, empty ones included, and read back as far as there are bytes', async () => {
  const file = await realDisk.open(join(folder, 'a'), true)
  const parts = Array.from({ length: 3000 }, (_, n) => Buffer.from(n % 7 === 0 ? '' : `${n},`))
  const whole = Buffer.concat(parts)
  await file.write(0, Buffer.from('head'))
  await file.write(4, parts)
  await file.write(4, [])
  await file.sync()
  expect(await file.size()).toBe(4 + whole.length)
  expect(Buffer.from(await file.read(4, whole.length + 100))).toEqual(whole)
  expect(await file.read(4 + whole.length, 10)).toHaveLength(0)
  await file.truncate(4)
  expect(Buffer.from(await file.read(0, 10)).toString()).toBe('head')
  await file.close()
  await realDisk.syncDirectory(folder)
})

test('a directory is locked once, and free again when it is released', async () => {
  const release = await realDisk.lock(folder)
  expect(release).not.toBeNull()
  expect(await realDisk.lock(folder)).toBeNull()
  release?.()
  release?.()
  const again = await realDisk.lock(folder)
  expect(again).not.toBeNull()
  again?.()
  await expect(realDisk.lock(join(folder, 'nowhere'))).rejects.toThrow()
})
