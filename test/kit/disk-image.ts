//! What lies on a simulated disk: files and names as processes see them, and as they would survive a loss of power.
import { posix } from 'node:path'
import { between, chance, int, pick, type Random, shuffled } from './random.ts'

/** One change of a file since its last sync. */
interface Pending {
  readonly position: number
  /** Null: a truncation to `position`. */
  readonly bytes: Uint8Array | null
}

export interface Inode {
  seen: Uint8Array
  synced: Uint8Array
  /** Since the last sync, oldest first. */
  pending: Pending[]
}

type Entry = Inode | 'directory'

interface Directory {
  readonly synced: Map<string, Entry>
  /** Each is whole or not at all: a rename takes one name away and gives another. */
  pending: ReadonlyMap<string, Entry | null>[]
}

export const newInode = (): Inode => ({ seen: new Uint8Array(0), synced: new Uint8Array(0), pending: [] })

export class DiskImage {
  readonly #seen = new Map<string, Entry>([['/', 'directory']])
  readonly #directories = new Map<string, Directory>([['/', { synced: new Map(), pending: [] }]])

  /** Of everything, in no order. */
  paths = (): string[] => [...this.#seen.keys()]
  has = (path: string): boolean => this.#seen.has(path)
  isDirectory = (path: string): boolean => this.#seen.get(path) === 'directory'

  fileAt(path: string): Inode | null {
    const entry = this.#seen.get(path)
    return entry === undefined || entry === 'directory' ? null : entry
  }

  usedBytes(): number {
    let sum = 0
    for (const entry of this.#seen.values()) if (entry !== 'directory') sum += entry.seen.length
    return sum
  }

  /** Names change now; that they have is kept only by a sync of their directory. Null takes a name away. */
  change(changes: readonly (readonly [string, Entry | null])[]): void {
    for (const [path, entry] of changes) {
      if (entry === null) this.#seen.delete(path)
      else this.#seen.set(path, entry)
      if (entry === 'directory') this.#directories.set(path, { synced: new Map(), pending: [] })
    }
    const within = Map.groupBy(changes, ([path]) => posix.dirname(path))
    for (const [directory, its] of within) this.#directories.get(directory)?.pending.push(new Map(its))
  }

  syncNames(path: string): void {
    const directory = this.#directories.get(path) as Directory
    for (const set of directory.pending) keep(directory, set)
    directory.pending = []
  }

  /** Of what was not synced any part survives, in any order, torn at any byte. */
  lose(random: Random): void {
    for (const directory of this.#directories.values()) {
      for (const set of directory.pending) if (chance(random, 0.5)) keep(directory, set)
      directory.pending = []
    }
    this.#seen.clear()
    this.#restore('/')
    for (const path of this.#directories.keys()) if (!this.#seen.has(path)) this.#directories.delete(path)
    for (const entry of this.#seen.values()) {
      if (entry === 'directory') continue
      entry.synced = survived(entry, random)
      entry.seen = entry.synced.slice()
      entry.pending = []
    }
  }

  /** Files that a loss of power would leave at the least: their names are synced, and so are these bytes. */
  survivors(): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>()
    const look = (path: string) => {
      for (const [inner, entry] of this.#directories.get(path)?.synced ?? []) {
        if (entry === 'directory') look(inner)
        else found.set(inner, entry.synced)
      }
    }
    look('/')
    return found
  }

  /** Puts back what the directories hold that can still be reached. */
  #restore(path: string): void {
    this.#seen.set(path, 'directory')
    for (const [inner, entry] of this.#directories.get(path)?.synced ?? []) {
      if (entry === 'directory') this.#restore(inner)
      else this.#seen.set(inner, entry)
    }
  }
}

function keep(directory: Directory, set: ReadonlyMap<string, Entry | null>): void {
  for (const [path, entry] of set) {
    if (entry === null) directory.synced.delete(path)
    else directory.synced.set(path, entry)
  }
}

export function put(inode: Inode, change: Pending): void {
  inode.pending.push(change)
  inode.seen = applied(inode.seen, change)
}

/** The first `covered` changes have been synced. */
export function settle(inode: Inode, covered: number): void {
  inode.synced = inode.pending.splice(0, covered).reduce(applied, inode.synced)
}

/** A sync has failed. As Linux does: some pages have been written, the others count as clean, and no later sync writes them. */
export function settleBadly(inode: Inode, covered: number, random: Random): void {
  for (const each of inode.pending.splice(0, covered))
    if (chance(random, 0.3)) inode.synced = applied(inode.synced, each)
  if (chance(random, 0.5)) inode.seen = inode.pending.reduce(applied, inode.synced.slice())
}

function applied(image: Uint8Array, { position, bytes }: Pending): Uint8Array {
  const length = bytes === null ? position : Math.max(image.length, position + bytes.length)
  const out = new Uint8Array(length)
  out.set(image.subarray(0, length))
  if (bytes !== null) out.set(bytes, position)
  return out
}

/** What is left of a file: the synced image, and of each later change nothing, all, a piece, or its length alone. */
function survived({ synced, pending }: Inode, random: Random): Uint8Array {
  let image = synced.slice() as Uint8Array
  const order = chance(random, 0.5) ? pending : shuffled(random, pending)
  for (const each of order) {
    const fate = pick(random, ['lost', 'whole', 'torn', 'length'] as const)
    if (fate === 'lost') continue
    if (each.bytes === null || fate === 'whole') image = applied(image, each)
    else if (fate === 'length') {
      const length = Math.max(image.length, each.position + each.bytes.length)
      image = applied(image, { position: length, bytes: null })
    } else {
      const from = chance(random, 0.5) ? 0 : int(random, each.bytes.length + 1)
      const to = between(random, from, each.bytes.length)
      image = applied(image, { position: each.position + from, bytes: each.bytes.subarray(from, to) })
    }
  }
  return image
}
