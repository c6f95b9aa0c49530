//! The law of random histories on a disk that fails and a process that is killed: nothing promised is lost, nothing answered comes again.
import { expect, test } from 'vitest'
import { BUSY, busyFor, DELIVERED } from '../../kit/exporter.ts'
import { between, chance, forSeedsAsync, int, pick, type Random } from '../../kit/random.ts'
import type { SimulatedWorld } from '../../kit/world.ts'
import { batch, names } from '../queue-scene.ts'
import { errno, type Faults, faultyWorld, run } from './disk-scene.ts'

interface Life {
  readonly world: SimulatedWorld
  readonly faults: Faults
  readonly scene: Awaited<ReturnType<typeof run>>
}

test('every accepted item arrives, and twice only if its request had no answer at a kill or its sender was told to come again', async () => {
  const seen = { kills: 0, refusals: 0, recovered: 0, twice: 0 }
  await forSeedsAsync(60, async (random, seed) => {
    const accepted = new Set<string>()
    const refused = new Set<string>()
    const answered: string[] = []
    const openAtKill = new Set<string>()
    let named = 0
    let away = 0.2
    const options = {
      sizeBytes: pick(random, [4000, 100_000]),
      numConsumers: between(random, 1, 4),
      maxBatchBytes: pick(random, [1, 300, 5000]),
    }

    async function live(files: ReadonlyMap<string, Uint8Array>, n: number): Promise<Life> {
      const { world, faults } = faultyWorld(1000 * seed + n)
      for (const [path, bytes] of files) world.disk.files.set(path, Uint8Array.from(bytes))
      const scene = await run(
        world,
        async request => {
          await world.sleep(int(random, 3) * int(random, 3000))
          if (chance(random, away)) return chance(random, 0.2) ? busyFor(int(random, 9000)) : BUSY
          answered.push(...names(request))
          return DELIVERED
        },
        options,
      )
      seen.recovered += scene.read('recovered')
      return { world, faults, scene }
    }

    let life = await live(new Map(), 0)
    for (let step = 0; step < 60; step++) {
      const { world, faults, scene } = life
      if (chance(random, 0.1)) faults.on = mood(random, world)
      if (chance(random, 0.1)) away = pick(random, [0, 0.2, 1])
      if (chance(random, 0.6)) {
        const some = Array.from({ length: int(random, 4) }, () => `i${named++}`)
        void scene.sink.send(batch(some)).then(({ kind }) => {
          for (const name of some) (kind === 'accepted' ? accepted : refused).add(name)
        })
      } else await world.advance(int(random, 2) * int(random, 4000))
      expect(scene.imbalance()).toEqual([0, 0, 0])
      if (!chance(random, 0.05)) continue
      seen.kills++
      await world.settle()
      const ended = scene.exporter.seen.flatMap(names)
      for (const name of ended) if (!answered.includes(name)) openAtKill.add(name)
      life = await live(world.disk.files, step + 1)
    }
    const { world, faults, scene } = life
    faults.on = () => null
    away = 0
    await world.advance(120_000)
    expect(scene.imbalance()).toEqual([0, 0, 0])
    expect([scene.read('queued'), scene.read('in_flight')]).toEqual([0, 0])
    expect(
      [...accepted].filter(name => !answered.includes(name)),
      'lost',
    ).toEqual([])
    const twice = answered.filter((name, at) => answered.indexOf(name) !== at)
    expect(
      twice.filter(name => !openAtKill.has(name) && !refused.has(name)),
      'twice',
    ).toEqual([])
    seen.refusals += refused.size
    seen.twice += twice.length
    const closing = scene.queue.close(world.monotonic() + 1000)
    await world.advance(2000)
    await closing
    expect([...world.disk.files.keys()]).toEqual([])
  })
  if (process.env['OTLIER_SEED'] !== undefined) return
  for (const [what, count] of Object.entries(seen))
    expect(count, what).toBeGreaterThan(what === 'twice' ? -1 : 20)
})

/** How the disk is for a while. */
function mood(random: Random, world: SimulatedWorld): Faults['on'] {
  const failing = pick(random, ['none', 'none', 'write', 'sync', 'open', 'remove', 'read', 'syncDirectory'])
  const slow = chance(random, 0.3)
  return async (operation, path) => {
    if (slow && operation === 'sync') await world.sleep(200)
    // Marks are for another law: where they cannot be written, what they say is sent again.
    return operation === failing && !path.endsWith('.done') && chance(random, 0.5) ? errno('EIO') : null
  }
}
