//! A simulated disk: what has been synced stays, what has not may be lost, torn or reordered, and every call can fail.
import { posix } from 'node:path'
import type { Cancel, Disk, DiskFile } from '../../src/base/world.ts'
import { DiskImage, type Inode, newInode, put, settle, settleBadly } from './disk-image.ts'
import type { Random } from './random.ts'

export type DiskOp =
  | 'read'
  | 'list'
  | 'size'
  | 'open'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'close'
  | 'rename'
  | 'remove'
  | 'makeDirectory'
  | 'syncDirectory'
  | 'lock'

/** One call, in the order in which they were begun. */
export interface DiskCall {
  readonly op: DiskOp
  readonly path: string
  /** Bytes written or asked for; for `truncate`, the new length. */
  readonly bytes: number
  readonly position: number
  /** `open` while under way; then `done`, or the code of its failure. */
  state: string
}

/** How a call fails. Of a write, the first `wroteBytes` arrive all the same. */
export interface DiskFault {
  readonly code: 'EIO' | 'EACCES' | 'ENOSPC' | 'EROFS' | 'EMFILE'
  readonly wroteBytes?: number
}

/** What a recorded run is read from: calls as they begin and end, and what the test noted in between. */
export type Moment =
  | { readonly kind: 'begin' | 'end'; readonly call: DiskCall }
  | { readonly kind: 'note'; readonly text: string }

export interface Machine {
  /** Starts a process on it: its disk. The disks of earlier processes have died. */
  boot(): Disk
  /** The process dies, as by kill -9: what it has written is there, what it had locked is free. */
  kill(): void
  /** The power fails: of what was not synced any part survives, in any order, torn at any byte. */
  powerCut(random: Random): void
  /** Asked before every call. Null lets it pass. */
  fault: ((call: DiskCall) => DiskFault | null) | null
  /** Every sync of a file takes as long as this does. */
  syncing: ((call: DiskCall) => Promise<void>) | null
  /** Bytes that fit; what is beyond is ENOSPC, after the part that still fitted. */
  capacityBytes: number
  /** Every moment since the last `forget`, at most MAX_MOMENTS. */
  readonly moments: readonly Moment[]
  note(text: string): void
  forget(): void
  /** Paths of all files as a process sees them now, in order. */
  paths(): string[]
  /** As a process sees it now; null where there is none. */
  content(path: string): Uint8Array | null
  /** What a loss of power at this moment would leave at the least: the synced bytes of files with synced names, by path. */
  survivors(): ReadonlyMap<string, Uint8Array>
  /** Turns one bit of what is stored around, as wear does. */
  flip(path: string, position: number, bit: number): void
}

export const MAX_MOMENTS = 200_000

const failed = (code: string, call: DiskCall) =>
  Object.assign(new Error(`${code}: simulated, ${call.op} '${call.path}'`), { code })

/** `random` chooses what a failed sync loses. */
export function machine(random: Random): Machine {
  const image = new DiskImage()
  const moments: Moment[] = []
  let alive = 0
  let locks = new Set<string>()

  const self: Machine = {
    fault: null,
    syncing: null,
    capacityBytes: Number.POSITIVE_INFINITY,
    moments,
    boot() {
      self.kill()
      return disk(alive)
    },
    kill() {
      alive++
      locks = new Set()
    },
    powerCut(chosen) {
      self.kill()
      image.lose(chosen)
    },
    note(text) {
      if (moments.length < MAX_MOMENTS) moments.push({ kind: 'note', text })
    },
    forget: () => void moments.splice(0),
    paths: () =>
      image
        .paths()
        .filter(path => !image.isDirectory(path))
        .sort(),
    content: path => image.fileAt(path)?.seen.slice() ?? null,
    survivors: () => image.survivors(),
    flip(path, position, bit) {
      const inode = image.fileAt(path)
      for (const bytes of [inode?.seen, inode?.synced])
        if (bytes !== undefined && position < bytes.length) bytes[position] ^= 1 << bit
    },
  }

  function disk(boot: number): Disk {
    /** Runs one call unless its process has died, in which case nobody ever hears of it. */
    async function run<T>(
      op: DiskOp,
      path: string,
      act: (call: DiskCall, fault: DiskFault | null) => T | Promise<T>,
      bytes = 0,
      position = 0,
    ): Promise<T> {
      if (boot !== alive) return never()
      const call: DiskCall = { op, path, bytes, position, state: 'open' }
      record('begin', call)
      const fault = self.fault?.(call) ?? null
      // The question may have been the moment at which the process died.
      if (boot !== alive) return never()
      try {
        if (fault !== null && op !== 'write' && op !== 'sync') throw failed(fault.code, call)
        const result = await act(call, fault)
        if (boot !== alive) return never()
        call.state = 'done'
        return result
      } catch (error) {
        if (boot !== alive) return never()
        call.state = (error as NodeJS.ErrnoException).code ?? 'unknown'
        throw error
      } finally {
        if (boot === alive) record('end', call)
      }
    }

    const missing = (call: DiskCall) => failed('ENOENT', call)

    async function makeDirectory(path: string): Promise<void> {
      await run('makeDirectory', path, call => {
        const wanted: string[] = []
        for (let at = path; !image.has(at); at = posix.dirname(at)) wanted.unshift(at)
        if (image.fileAt(path) !== null) throw failed('EEXIST', call)
        for (const each of wanted) image.change([[each, 'directory']])
      })
    }

    function open(path: string, create: boolean): Promise<DiskFile> {
      return run('open', path, call => {
        const there = image.fileAt(path)
        if (!create) {
          if (there === null) throw missing(call)
          return file(path, there)
        }
        if (image.has(path)) throw failed('EEXIST', call)
        if (!image.isDirectory(posix.dirname(path))) throw missing(call)
        if (image.usedBytes() >= self.capacityBytes) throw failed('ENOSPC', call)
        const made = newInode()
        image.change([[path, made]])
        return file(path, made)
      })
    }

    function file(path: string, inode: Inode): DiskFile {
      let closed = false
      const whileOpen = (call: DiskCall) => {
        if (closed) throw failed('EBADF', call)
        return inode
      }
      return {
        size: () => run('size', path, call => whileOpen(call).seen.length),
        read: (position, length) =>
          run(
            'read',
            path,
            call => whileOpen(call).seen.slice(position, position + length),
            length,
            position,
          ),
        write(position, given) {
          const bytes = given instanceof Uint8Array ? given.slice() : Uint8Array.from(Buffer.concat(given))
          const act = (call: DiskCall, fault: DiskFault | null) => {
            whileOpen(call)
            const grows = Math.max(0, position + bytes.length - inode.seen.length)
            const lacking = Math.max(0, Math.min(grows, image.usedBytes() + grows - self.capacityBytes))
            const fits =
              fault === null ? bytes.length - lacking : Math.min(fault.wroteBytes ?? 0, bytes.length)
            if (fits > 0) put(inode, { position, bytes: bytes.subarray(0, fits) })
            if (fault !== null) throw failed(fault.code, call)
            if (lacking > 0) throw failed('ENOSPC', call)
          }
          return run('write', path, act, bytes.length, position)
        },
        sync: () =>
          run('sync', path, async (call, fault) => {
            whileOpen(call)
            // What is written from now on is not covered.
            const covered = inode.pending.length
            await self.syncing?.(call)
            if (boot !== alive) return never()
            if (fault === null) return settle(inode, covered)
            settleBadly(inode, covered, random)
            throw failed(fault.code, call)
          }),
        truncate: length =>
          run('truncate', path, call => put(whileOpen(call), { position: length, bytes: null }), length),
        close: () => run('close', path, () => void (closed = true)),
      }
    }

    const rename = (from: string, to: string) =>
      run('rename', from, call => {
        const entry = image.fileAt(from)
        if (entry === null || !image.isDirectory(posix.dirname(to))) throw missing(call)
        image.change([
          [from, null],
          [to, entry],
        ])
      })

    const remove = (path: string) =>
      run('remove', path, call => {
        if (image.isDirectory(path)) throw failed('EISDIR', call)
        if (image.has(path)) image.change([[path, null]])
      })

    const syncDirectory = (path: string) =>
      run('syncDirectory', path, call => {
        if (!image.isDirectory(path)) throw missing(call)
        image.syncNames(path)
      })

    return {
      makeDirectory,
      open,
      rename,
      syncDirectory,
      read: path => run('read', path, () => image.fileAt(path)?.seen.slice() ?? null),
      remove,
      list: path =>
        run('list', path, () => {
          const inside = image.paths().filter(each => each !== '/' && posix.dirname(each) === path)
          return inside.map(each => posix.basename(each))
        }),
      async usable(path) {
        try {
          await makeDirectory(path)
          return true
        } catch {
          return false
        }
      },
      async writeAtomic(path, bytes) {
        await makeDirectory(posix.dirname(path))
        const temporary = `${path}.tmp`
        await remove(temporary)
        const opened = await open(temporary, true)
        try {
          await opened.write(0, bytes)
          await opened.sync()
        } finally {
          await opened.close()
        }
        await rename(temporary, path)
        await syncDirectory(posix.dirname(path))
      },
      lock: path =>
        run('lock', path, (): Cancel | null => {
          if (locks.has(path)) return null
          const own = locks
          own.add(path)
          return () => void own.delete(path)
        }),
    }
  }

  function record(kind: 'begin' | 'end', call: DiskCall) {
    if (moments.length < MAX_MOMENTS) moments.push({ kind, call })
  }

  return self
}

const never = <T>() => new Promise<T>(() => {})

/** What was written to a file, or synced of it, after a sync of it had failed. One that is taken away and made again is another file. */
export function touchedAfterFailedSync({ moments }: Pick<Machine, 'moments'>): string[] {
  const failed = new Set<string>()
  return moments.flatMap(each => {
    if (each.kind === 'note') return []
    const { op, path, state } = each.call
    if (each.kind === 'begin')
      return (op === 'sync' || op === 'write') && failed.has(path) ? [`${op} ${path}`] : []
    if (op === 'sync' && state !== 'done') failed.add(path)
    if (op === 'remove' && state === 'done') failed.delete(path)
    return []
  })
}
