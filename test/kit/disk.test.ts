//! Laws of the simulated disk: it loses what a real one may lose, and nothing else.
import { describe, expect, test } from 'vitest'
import type { Disk } from '../../src/base/world.ts'
import { type Machine, machine } from './disk.ts'
import { forSeedsAsync, seeded, seeds } from './random.ts'

const HOW_OFTEN = 200
const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString('latin1'))
const bytesOf = (written: string) => Buffer.from(written, 'latin1')

/** A directory whose name is durable, on a machine of its own. */
async function prepared(seed = 1) {
  const box = machine(seeded(seed))
  const disk = box.boot()
  await disk.makeDirectory('/q')
  await disk.syncDirectory('/')
  return { box, disk }
}

/** Every image that a file was found with after so many crashes of the same history. */
async function outcomes(history: (box: Machine, disk: Disk) => Promise<void>) {
  const seen = new Set<string | null>()
  for (const seed of seeds(HOW_OFTEN)) {
    const { box, disk } = await prepared(seed)
    await history(box, disk)
    box.powerCut(seeded(seed))
    seen.add(text(box.content('/q/a')))
  }
  return seen
}

describe('a loss of power', () => {
  test('keeps what was synced, with its name, whatever came after', async () => {
    await forSeedsAsync(HOW_OFTEN, async (random, seed) => {
      const { box, disk } = await prepared(seed)
      const file = await disk.open('/q/a', true)
      await file.write(0, bytesOf('synced'))
      await file.sync()
      await disk.syncDirectory('/q')
      await file.write(6, bytesOf('later'))
      box.powerCut(random)
      expect(text(box.content('/q/a'))?.slice(0, 6)).toBe('synced')
    })
  })

  test('survivors are what is left in every case: synced bytes behind synced names', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    await file.write(0, bytesOf('synced'))
    await file.sync()
    expect([...box.survivors().keys()]).toEqual([])
    await disk.syncDirectory('/q')
    await file.write(0, bytesOf('S'))
    expect(text(box.survivors().get('/q/a') ?? null)).toBe('synced')
    await file.sync()
    expect(text(box.survivors().get('/q/a') ?? null)).toBe('Synced')
  })

  test('may lose, keep, tear, or leave as zeros what was not synced', async () => {
    const seen = await outcomes(async (_, disk) => {
      const file = await disk.open('/q/a', true)
      await disk.syncDirectory('/q')
      await file.sync()
      await file.write(0, bytesOf('abcd'))
    })
    expect(seen).toContain('')
    expect(seen).toContain('abcd')
    expect(seen).toContain('ab')
    expect(seen).toContain('\0bcd')
    expect(seen).toContain('\0\0\0\0')
  })

  test('may keep a later write without an earlier one', async () => {
    const seen = await outcomes(async (_, disk) => {
      const file = await disk.open('/q/a', true)
      await disk.syncDirectory('/q')
      await file.write(0, bytesOf('ab'))
      await file.write(2, bytesOf('cd'))
    })
    expect(seen).toContain('\0\0cd')
    expect(seen).toContain('ab')
  })

  test('may lose a truncation that was not synced, and keeps one that was', async () => {
    const cut = async (_: Machine, disk: Disk) => {
      const file = await disk.open('/q/a', true)
      await disk.syncDirectory('/q')
      await file.write(0, bytesOf('abcd'))
      await file.sync()
      await file.truncate(1)
    }
    expect(await outcomes(cut)).toEqual(new Set(['abcd', 'a']))
    const synced = await outcomes(async (box, disk) => {
      await cut(box, disk)
      await (await disk.open('/q/a', false)).sync()
    })
    expect(synced).toEqual(new Set(['a']))
  })

  test('may lose the name of a file whose bytes were synced, until its directory is', async () => {
    const write = async (_: Machine, disk: Disk) => {
      const file = await disk.open('/q/a', true)
      await file.write(0, bytesOf('x'))
      await file.sync()
    }
    expect(await outcomes(write)).toEqual(new Set([null, 'x']))
    const named = await outcomes(async (box, disk) => {
      await write(box, disk)
      await disk.syncDirectory('/q')
    })
    expect(named).toEqual(new Set(['x']))
  })

  test('brings back a file whose removal was not synced, and leaves a rename whole or undone', async () => {
    const seen = await outcomes(async (_, disk) => {
      await (await disk.open('/q/a', true)).sync()
      await disk.syncDirectory('/q')
      await disk.remove('/q/a')
    })
    expect(seen).toEqual(new Set(['', null]))
    await forSeedsAsync(HOW_OFTEN, async (random, seed) => {
      const { box, disk } = await prepared(seed)
      await (await disk.open('/q/a', true)).sync()
      await disk.syncDirectory('/q')
      await disk.rename('/q/a', '/q/b')
      box.powerCut(random)
      expect([['/q/a'], ['/q/b']]).toContainEqual(box.paths())
    })
  })

  test('loses a directory, and all in it, whose own name was not synced', async () => {
    let lost = 0
    await forSeedsAsync(HOW_OFTEN, async (random, seed) => {
      const box = machine(seeded(seed))
      const disk = box.boot()
      await disk.makeDirectory('/new')
      await (await disk.open('/new/a', true)).sync()
      await disk.syncDirectory('/new')
      box.powerCut(random)
      if (box.content('/new/a') === null) lost++
      expect(await box.boot().list('/new')).toEqual(box.content('/new/a') === null ? [] : ['a'])
    })
    expect(lost).toBeGreaterThan(0)
    expect(lost).toBeLessThan(HOW_OFTEN)
  })

  test('writeAtomic leaves the old or the new content, and the new one once it has resolved', async () => {
    const seen = await outcomes(async (_, disk) => {
      await disk.writeAtomic('/q/a', bytesOf('old'))
      await disk.writeAtomic('/q/a', bytesOf('new'))
    })
    expect(seen).toEqual(new Set(['new']))
    const halfway = await outcomes(async (box, disk) => {
      await disk.writeAtomic('/q/a', bytesOf('old'))
      box.fault = ({ op }) => (op === 'syncDirectory' ? { code: 'EIO' } : null)
      await expect(disk.writeAtomic('/q/a', bytesOf('new'))).rejects.toThrow('EIO')
    })
    expect(halfway).toEqual(new Set(['old', 'new']))
  })
})

describe('a kill', () => {
  test('loses nothing that was written, and frees every lock', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    await file.write(0, [bytesOf('ab'), bytesOf('cd')])
    expect(await disk.lock('/q')).not.toBeNull()
    expect(await disk.lock('/q')).toBeNull()
    box.kill()
    expect(text(box.content('/q/a'))).toBe('abcd')
    expect(await box.boot().lock('/q')).not.toBeNull()
  })

  test('no call of a dead process ever settles or changes anything', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    box.boot()
    let heard = 0
    for (const call of [file.write(0, bytesOf('x')), file.sync(), disk.remove('/q/a'), disk.list('/q')])
      call.then(
        () => heard++,
        () => heard++,
      )
    await new Promise(resolve => setImmediate(resolve))
    expect(heard).toBe(0)
    expect(text(box.content('/q/a'))).toBe('')
  })

  test('a sync that it interrupts covers nothing', async () => {
    const seen = await outcomes(async (box, disk) => {
      const file = await disk.open('/q/a', true)
      await disk.syncDirectory('/q')
      await file.write(0, bytesOf('x'))
      let release = () => {}
      box.syncing = () => new Promise(resolve => (release = resolve))
      void file.sync()
      await new Promise(resolve => setImmediate(resolve))
      box.kill()
      release()
      await new Promise(resolve => setImmediate(resolve))
    })
    expect(seen).toContain('')
    expect(seen).toContain('x')
  })
})

describe('faults', () => {
  test('every call can fail with a code, and one that has failed has done nothing', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    box.fault = () => ({ code: 'EACCES' })
    const calls = [
      () => disk.open('/q/b', true),
      () => disk.read('/q/a'),
      () => disk.list('/q'),
      () => disk.rename('/q/a', '/q/b'),
      () => disk.remove('/q/a'),
      () => disk.makeDirectory('/r'),
      () => disk.syncDirectory('/q'),
      () => disk.lock('/q'),
      () => disk.writeAtomic('/q/a', bytesOf('x')),
      () => file.size(),
      () => file.read(0, 1),
      () => file.write(0, bytesOf('x')),
      () => file.sync(),
      () => file.truncate(5),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'EACCES' })
    expect(await disk.usable('/r')).toBe(false)
    box.fault = null
    expect(box.paths()).toEqual(['/q/a'])
    expect(text(await disk.read('/q/a'))).toBe('')
  })

  test('a write that fails may have written its beginning', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    box.fault = () => ({ code: 'EIO', wroteBytes: 2 })
    await expect(file.write(0, bytesOf('abcd'))).rejects.toMatchObject({ code: 'EIO' })
    expect(text(box.content('/q/a'))).toBe('ab')
  })

  test('a full disk takes what fits, says ENOSPC, and takes more when something has been removed', async () => {
    const { box, disk } = await prepared()
    box.capacityBytes = 6
    const file = await disk.open('/q/a', true)
    await file.write(0, bytesOf('abcd'))
    const other = await disk.open('/q/b', true)
    await expect(other.write(0, bytesOf('efgh'))).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(text(box.content('/q/b'))).toBe('ef')
    await expect(disk.open('/q/c', true)).rejects.toMatchObject({ code: 'ENOSPC' })
    await file.write(0, bytesOf('over'))
    await disk.remove('/q/a')
    await other.write(2, bytesOf('gh'))
    expect(text(box.content('/q/b'))).toBe('efgh')
  })

  test('what a failed sync dropped, no later sync brings back', async () => {
    const seen = await outcomes(async (box, disk) => {
      const file = await disk.open('/q/a', true)
      await disk.syncDirectory('/q')
      await file.write(0, bytesOf('ab'))
      box.fault = ({ op }) => (op === 'sync' ? { code: 'EIO' } : null)
      await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' })
      box.fault = null
      await file.write(2, bytesOf('cd'))
      await file.sync()
    })
    expect(seen).toEqual(new Set(['abcd', '\0\0cd']))
  })

  test('a sync covers what was written before it began, and not what came while it lasted', async () => {
    const seen = await outcomes(async (box, disk) => {
      const file = await disk.open('/q/a', true)
      await disk.syncDirectory('/q')
      await file.write(0, bytesOf('a'))
      box.syncing = async () => {
        box.syncing = null
        await file.write(1, bytesOf('b'))
      }
      await file.sync()
    })
    expect(seen).toContain('a')
    for (const image of seen) expect(image?.[0]).toBe('a')
  })

  test('a flipped bit is read, synced or not, and survives', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    await file.write(0, bytesOf('a'))
    await file.sync()
    await disk.syncDirectory('/q')
    box.flip('/q/a', 0, 1)
    expect(text(await disk.read('/q/a'))).toBe('c')
    box.powerCut(seeded(1))
    expect(text(box.content('/q/a'))).toBe('c')
  })
})

describe('as a file system behaves', () => {
  test('a file is made once, opened where it is, and must have a directory', async () => {
    const { disk } = await prepared()
    await expect(disk.open('/q/a', false)).rejects.toMatchObject({ code: 'ENOENT' })
    await disk.open('/q/a', true)
    await expect(disk.open('/q/a', true)).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(disk.open('/none/a', true)).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(disk.rename('/q/none', '/q/b')).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await disk.read('/q/none')).toBeNull()
    await disk.remove('/q/none')
    expect(await disk.list('/q')).toEqual(['a'])
    expect(await disk.list('/')).toEqual(['q'])
  })

  test('reads end where the file does, and a write beyond the end leaves zeros', async () => {
    const { disk } = await prepared()
    const file = await disk.open('/q/a', true)
    await file.write(2, bytesOf('c'))
    expect(await file.size()).toBe(3)
    expect(text(await file.read(1, 9))).toBe('\0c')
    await file.close()
    await expect(file.size()).rejects.toMatchObject({ code: 'EBADF' })
  })

  test('all calls are recorded in their order, with what the test noted in between', async () => {
    const { box, disk } = await prepared()
    const file = await disk.open('/q/a', true)
    box.forget()
    await file.write(0, bytesOf('ab'))
    box.note('between')
    await file.sync()
    const said = box.moments.map(each => (each.kind === 'note' ? each.text : `${each.kind} ${each.call.op}`))
    expect(said).toEqual(['begin write', 'end write', 'between', 'begin sync', 'end sync'])
  })
})
