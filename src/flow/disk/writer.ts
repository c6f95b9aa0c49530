//! Writes to the segments of a log, one thing after the other: what has come meanwhile is written together, and synced together.
import { dirname } from 'node:path'
import type { Log } from '../../base/log.ts'
import type { Cancel, World } from '../../base/world.ts'
import { type Items, noItems } from '../storage.ts'
import { type Body, encodeEnd, encodeHeader, head } from './format.ts'
import type { Segment, Slot } from './segment.ts'

export interface WriterHooks {
  /** Nothing more may be appended to this segment. */
  broken(segment: Segment): void
  /** The disk does not take writes; null: it does again. */
  failing(cause: Error | null): void
}

/** After a failure the disk is left alone for so long. */
export const PAUSE_MS = 1000
/** Where nobody waits for a sync there is one so often. */
const LAZY_SYNC_MS = 1000

/** A directory that this user may not read, or a file system that has no syncs: what leads there was made by somebody else. */
const NOT_OURS = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOTSUP'])

interface Work {
  readonly kind: 'record' | 'end' | 'copy' | 'remove'
  readonly segment: Segment
  readonly record: { readonly slot: Slot; readonly body: Body; readonly receivedMs: number } | null
  /** The items that stand before it in its segment. */
  readonly before: Readonly<Items>
  done(isStored: boolean): void
}

export class Writer {
  readonly #world: World
  readonly #directory: string
  readonly #log: Log
  readonly #isDurable: boolean
  readonly #hooks: WriterHooks
  #work: Work[] = []
  #working: Promise<void> | null = null
  /** Written, and not synced. */
  readonly #dirty = new Set<Segment>()
  #inherited: readonly Segment[] = []
  /** Their sync has failed although some of what they hold was promised before it. */
  readonly #doubtful = new Set<Segment>()
  /** Nothing of them is wanted, and they are still there. */
  readonly #leaving = new Set<Segment>()
  #lazily: Cancel | null = null
  #syncing: Promise<void> | null = null
  #isClosed = false
  /** The names of the directories that lead to it are durable. */
  #isPathNamed = false
  #isFailing = false
  #opensMs = 0

  /** `isDurable`: a record is stored once it is synced; if not, once it is written. */
  constructor(world: World, directory: string, log: Log, isDurable: boolean, hooks: WriterHooks) {
    this.#world = world
    this.#directory = directory
    this.#log = log
    this.#isDurable = isDurable
    this.#hooks = hooks
  }

  /** Some time has passed since the last failure. */
  get isOpen(): boolean {
    return this.#world.monotonic() >= this.#opensMs
  }

  /** Resolves when the record is stored, or will not be. */
  append(slot: Slot, body: Body, receivedMs: number, before: Readonly<Items>): Promise<boolean> {
    const { segment } = slot
    return new Promise(done =>
      this.#do({ kind: 'record', segment, record: { slot, body, receivedMs }, before, done }),
    )
  }

  /** What an earlier run has left is synced soon: it may have been killed before, and its senders have their answers. */
  inherit(segments: readonly Segment[]): void {
    for (const segment of segments) segment.isInherited = true
    this.#inherited = segments
    if (segments.length > 0) this.#syncLater()
  }

  /** The segment says at its end what it holds. */
  end(segment: Segment): void {
    this.#do({ kind: 'end', segment, record: null, before: [...segment.items], done() {} })
  }

  /** Its files go, after what is still to be written to it. */
  remove(segment: Segment): void {
    this.#do({ kind: 'remove', segment, record: null, before: noItems(), done() {} })
  }

  failed(cause: Error): void {
    this.#opensMs = this.#world.monotonic() + PAUSE_MS
    if (!this.#isFailing) this.#hooks.failing(cause)
    this.#isFailing = true
  }

  succeeded(): void {
    if (this.#isFailing) this.#hooks.failing(null)
    this.#isFailing = false
  }

  /** Ends with everything written and synced. A disk that hangs hangs this. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#lazily?.()
    await this.#working
    await this.#syncing
    // One that fails is taken out.
    while (this.#dirty.size > 0) await this.#syncDirty().catch((error: Error) => this.failed(error))
    await this.#syncInherited()
    for (const segment of [...this.#doubtful]) await this.#copy(segment)
    for (const segment of this.#leaving) await this.#remove(segment)
  }

  #do(work: Work): void {
    this.#work.push(work)
    this.#working ??= this.#run()
  }

  async #run(): Promise<void> {
    // What comes in the same step goes with it.
    await Promise.resolve()
    while (this.#work.length > 0) {
      const { segment } = this.#work[0]
      let count = 1
      while (this.#work[count]?.segment === segment) count++
      const group = this.#work.splice(0, count)
      try {
        await this.#write(segment, group)
        if (group.at(-1)?.kind === 'copy') {
          if (await this.#copy(segment)) this.#copyNext()
          else this.#syncLater()
        }
        for (const work of group) work.done(true)
        if (group.some(({ kind }) => kind === 'record')) this.succeeded()
      } catch (error) {
        this.#breakOff(segment, group, error as Error)
      }
      if (group.at(-1)?.kind === 'remove') await this.#remove(segment)
    }
    this.#working = null
  }

  async #write(segment: Segment, group: readonly Work[]): Promise<void> {
    const writing = group.filter(({ kind }) => kind === 'record' || kind === 'end')
    // What goes in a moment need not be written.
    if (writing.length === 0 || (segment.isSpent && group.length > writing.length)) return
    if (segment.hasFailed) {
      if (writing.every(({ kind }) => kind === 'end')) return
      throw new Error('an earlier write to the segment has failed')
    }
    const parts: Uint8Array[] = []
    if (segment.file === null) {
      segment.file = await this.#world.disk.open(segment.path, true)
      parts.push(head(segment.salt))
    }
    for (const work of writing) parts.push(...encode(segment, work, this.#world.now()))
    try {
      await segment.file.write(segment.writtenBytes, parts)
    } catch (error) {
      // What was written of it would only take up room.
      await segment.file.truncate(segment.writtenBytes).catch(() => {})
      throw error
    }
    segment.writtenBytes += parts.reduce((sum, part) => sum + part.length, 0)
    this.#dirty.add(segment)
    for (const { record } of writing) if (record !== null) segment.unsynced.push(record.slot)
    if (this.#isDurable) await this.#syncDirty()
    else this.#syncLater()
  }

  async #syncDirty(): Promise<void> {
    for (const segment of this.#dirty) {
      this.#dirty.delete(segment)
      if (segment.isDoubtful) continue
      const { length } = segment.unsynced
      try {
        await segment.file?.sync()
        if (!segment.isNamed) await this.#syncNames()
        segment.isNamed = true
        segment.unsynced.splice(0, length)
      } catch (error) {
        // Nobody knows now what of it is on disk, and the next sync would say that all is well.
        segment.hasFailed = true
        segment.isDoubtful = true
        if (!this.#isDurable) this.#doubtful.add(segment)
        this.#hooks.broken(segment)
        throw error
      }
    }
  }

  /** Without the names of the directories above, a loss of power would take the whole queue with it. */
  async #syncNames(): Promise<void> {
    const { disk } = this.#world
    if (!this.#isPathNamed) {
      const home = dirname(dirname(this.#directory))
      await disk.syncDirectory(dirname(this.#directory))
      await disk.syncDirectory(home)
      // Whoever made them: an earlier run may have done so and have died before their sync.
      for (let at = home; at !== dirname(at); ) {
        at = dirname(at)
        await disk.syncDirectory(at).catch((error: NodeJS.ErrnoException) => {
          if (!NOT_OURS.has(error.code ?? '')) throw error
        })
      }
      this.#isPathNamed = true
    }
    await disk.syncDirectory(this.#directory)
  }

  #syncLater(): void {
    if (!this.#isClosed && this.#syncing === null)
      this.#lazily ??= this.#world.after(LAZY_SYNC_MS, () => this.#syncLazily())
  }

  /** One at a time. */
  #syncLazily(): void {
    this.#lazily = null
    this.#copyNext()
    const before = this.#working ?? Promise.resolve()
    this.#syncing = before
      .then(() => this.#syncInherited())
      // Those that are waited for are synced by those who wait.
      .then(() => (this.#isDurable ? undefined : this.#syncDirty()))
      .catch((error: Error) => this.failed(error))
      .then(() => {
        this.#syncing = null
        if (this.#doubtful.size > 0 || (!this.#isDurable && this.#dirty.size > 0)) this.#syncLater()
      })
  }

  async #syncInherited(): Promise<void> {
    const segments = this.#inherited.filter(({ isSpent }) => !isSpent)
    this.#inherited = []
    for (const segment of segments) {
      try {
        const file = await this.#world.disk.open(segment.path, false)
        try {
          await file.sync()
        } finally {
          await file.close().catch(() => {})
        }
        await this.#syncNames()
        segment.isInherited = false
      } catch {
        if (segment.isSpent) continue
        segment.isDoubtful = true
        this.#doubtful.add(segment)
        // The copy comes later, and so may the end of the process.
        await segment.restore().catch(() => {})
      }
    }
  }

  /** One after the other, so that a disk that fails is not kept busy. */
  #copyNext(): void {
    const [segment] = this.#doubtful
    if (segment !== undefined) this.#do({ kind: 'copy', segment, record: null, before: noItems(), done() {} })
  }

  /** What was promised before its sync has failed is written again, to another file, until that is synced. */
  async #copy(segment: Segment): Promise<boolean> {
    this.#doubtful.delete(segment)
    if (!segment.isUnsafe && (segment.isSpent || !segment.isInherited)) return true
    try {
      const rest = await segment.copy()
      await this.#syncNames()
      segment.unsynced = rest
      segment.isInherited = false
      return true
    } catch (error) {
      // Behind the others.
      this.#doubtful.add(segment)
      this.failed(error as Error)
      return false
    }
  }

  /** Nothing of the group is promised, nor of what comes behind it. */
  #breakOff(segment: Segment, group: readonly Work[], error: Error): void {
    const all = [...group, ...this.#work.filter(({ kind }) => kind === 'record')]
    this.#work = this.#work.filter(({ kind }) => kind !== 'record')
    for (const broken of new Set([segment, ...all.map(work => work.segment)])) {
      broken.hasFailed = true
      this.#hooks.broken(broken)
    }
    this.failed(error)
    for (const work of all) work.done(false)
  }

  async #remove(segment: Segment): Promise<void> {
    this.#dirty.delete(segment)
    this.#doubtful.delete(segment)
    this.#leaving.add(segment)
    // With those that could not be removed before.
    for (const each of this.#leaving) {
      try {
        await each.remove()
        this.#leaving.delete(each)
      } catch (error) {
        if (each === segment)
          this.#log.warn({ path: each.path, error }, 'a segment of the queue on disk cannot be removed yet')
        return
      }
    }
  }
}

function encode(segment: Segment, { record, before }: Work, nowMs: number): readonly Uint8Array[] {
  if (record !== null) {
    const { slot, body, receivedMs } = record
    const { sequence, index, signal, items } = slot
    return [
      encodeHeader(segment.salt, { sequence, index, signal, items, receivedMs, before }, body),
      ...body.parts,
    ]
  }
  return [encodeEnd(segment.salt, segment.first, segment.count, before, nowMs)]
}
