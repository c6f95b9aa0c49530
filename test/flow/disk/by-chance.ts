//! What a history is given by chance: the settings of its queue, and faults of its disk.
import type { Acknowledge } from '../../../src/flow/contract.ts'
import type { WhenFull } from '../../../src/flow/notices.ts'
import type { DiskFault, Machine } from '../../kit/disk.ts'
import { int, pick, type Random } from '../../kit/random.ts'

const MIB = 2 ** 20

export const settingsByChance = (random: Random) => ({
  sizeBytes: pick(random, [0.25, 1, 4]) * MIB,
  whenFull: pick<WhenFull>(random, ['refuse', 'refuse', 'refuse', 'drop_newest', 'drop_oldest']),
  acknowledge: pick<Acknowledge>(random, ['durable', 'durable', 'durable', 'delivered', 'memory']),
  numConsumers: pick(random, [1, 1, 3, 10]),
})

/** What the disk is asked before every call, and what that means in words. */
export function faultByChance(random: Random): { hook: Machine['fault']; text: string } {
  const ops = pick(random, [
    ['sync'],
    ['write'],
    ['open'],
    ['syncDirectory'],
    ['read'],
    ['remove', 'rename', 'truncate'],
    null,
  ])
  const code = pick(random, ['EIO', 'EACCES', 'ENOSPC', 'EROFS', 'EMFILE'] as const)
  const times = pick(random, [1, 2, 5, Number.POSITIVE_INFINITY])
  const fault: DiskFault = { code, wroteBytes: int(random, 2000) }
  let left = times
  return {
    hook: ({ op }) => ((ops === null || ops.includes(op)) && left-- > 0 ? fault : null),
    text: `fault ${code} on ${ops ?? 'everything'}, ${times} times`,
  }
}
