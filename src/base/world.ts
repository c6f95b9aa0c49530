//! Time, chance and disk behind one interface, so that a test can own all three.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { lockDirectory } from './lock.ts'

/** Cancels what it was returned for. Calling it twice is harmless. */
export type Cancel = () => void

export interface World {
  /** Wall clock in milliseconds since 1970. May jump. */
  now(): number
  /** A clock in milliseconds that never goes back; its zero means nothing. */
  monotonic(): number
  /**
   * CPU time of this thread in milliseconds; its zero means nothing. What has a budget of time is held to this and not to
   * the clock: a machine that is busy with something else must not switch anything off.
   */
  cpu(): number
  /** Uniform in [0, 1). */
  random(): number
  /** Runs `act` once, `delayMs` from now. A pending timer does not keep the process alive. */
  after(delayMs: number, act: () => void): Cancel
  /** Resolves after `delayMs`, or at once when `stop` is aborted. */
  sleep(delayMs: number, stop?: AbortSignal): Promise<void>
  readonly disk: Disk
}

/** The few things Otlier does with files. A missing file is `null`, everything else that fails rejects. */
export interface Disk {
  read(path: string): Promise<Uint8Array | null>
  /** Whole or not at all: a temporary file, synced, renamed over `path`, its directory synced. Makes the directory. */
  writeAtomic(path: string, bytes: Uint8Array): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  list(directory: string): Promise<string[]>
  /** Makes the directory where it is missing, and says whether files can be created in it. */
  usable(directory: string): Promise<boolean>
  /** Opens a file for reading and writing. With `create` it is made, and must not exist; else it must. */
  open(path: string, create: boolean): Promise<DiskFile>
  /** Makes names that were created, renamed or removed in the directory durable. */
  syncDirectory(directory: string): Promise<void>
  /** With those above it. One that is there already is no failure. */
  makeDirectory(directory: string): Promise<void>
  /**
   * Keeps every other process out of the directory until released, or until this process dies: the kernel holds the lock.
   * Null where another holds it.
   */
  lock(directory: string): Promise<Cancel | null>
}

/** An open file. Calls that overlap are the caller's to order. What fails rejects with Node's `code`: ENOSPC, EIO, EACCES. */
export interface DiskFile {
  /** In bytes. */
  size(): Promise<number>
  /** Fewer bytes than `length` where the file ends before. */
  read(position: number, length: number): Promise<Uint8Array>
  /** All of it, in order, from `position` on. A call that rejects may have written some. */
  write(position: number, bytes: Uint8Array | readonly Uint8Array[]): Promise<void>
  /** Resolves when the bytes, and the length, would survive a loss of power (fdatasync). */
  sync(): Promise<void>
  truncate(length: number): Promise<void>
  close(): Promise<void>
}

const code = (error: unknown) => (error as NodeJS.ErrnoException).code

async function syncDirectory(directory: string) {
  const handle = await fs.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The machine's own disk. */
export const realDisk: Disk = {
  async read(path) {
    try {
      return await fs.readFile(path)
    } catch (error) {
      if (code(error) === 'ENOENT') return null
      throw error
    }
  },
  async writeAtomic(path, bytes) {
    await fs.mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const temporary = `${path}.${process.pid}.tmp`
    const handle = await fs.open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.rename(temporary, path)
    await syncDirectory(dirname(path))
  },
  rename: (from, to) => fs.rename(from, to),
  remove: path => fs.rm(path, { force: true }),
  async list(directory) {
    try {
      return await fs.readdir(directory)
    } catch (error) {
      if (code(error) === 'ENOENT') return []
      throw error
    }
  },
  async open(path, create) {
    return openFile(await fs.open(path, create ? 'wx+' : 'r+', 0o600))
  },
  syncDirectory,
  async makeDirectory(directory) {
    await fs.mkdir(directory, { recursive: true, mode: 0o700 })
  },
  lock: lockDirectory,
  async usable(directory) {
    try {
      await fs.mkdir(directory, { recursive: true, mode: 0o700 })
      await fs.access(directory, constants.W_OK | constants.X_OK)
      return true
    } catch {
      return false
    }
  },
}

/** More buffers than this in one call are more than the kernel takes (IOV_MAX). */
const MAX_BUFFERS = 1024

const openFile = (handle: fs.FileHandle): DiskFile => ({
  size: async () => (await handle.stat()).size,
  async read(position, length) {
    const bytes = Buffer.allocUnsafe(length)
    let read = 0
    while (read < length) {
      const { bytesRead } = await handle.read(bytes, read, length - read, position + read)
      if (bytesRead === 0) break
      read += bytesRead
    }
    return bytes.subarray(0, read)
  },
  async write(position, bytes) {
    let rest = bytes instanceof Uint8Array ? [bytes] : [...bytes]
    let at = position
    // A call writes less than it was given when the disk is nearly full, and where there are many buffers.
    while (rest.length > 0) {
      const { bytesWritten } = await handle.writev(rest.slice(0, MAX_BUFFERS), at)
      if (bytesWritten === 0 && rest.some(part => part.length > 0))
        throw Object.assign(new Error('the disk takes no more bytes'), { code: 'ENOSPC' })
      at += bytesWritten
      rest = after(rest, bytesWritten)
    }
  },
  sync: () => handle.datasync(),
  truncate: length => handle.truncate(length),
  close: () => handle.close(),
})

/** What is left of `parts` without their first `count` bytes. */
function after(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count
  let first = 0
  while (first < parts.length && left >= parts[first].length) left -= parts[first++].length
  return first === parts.length ? [] : [parts[first].subarray(left), ...parts.slice(first + 1)]
}

/** The world as it is. */
export const realWorld: World = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  cpu() {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  },
  random: () => Math.random(),
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  sleep(delayMs, stop) {
    return new Promise(resolve => {
      if (stop?.aborted) return resolve()
      const finish = () => {
        clearTimeout(timer)
        stop?.removeEventListener('abort', finish)
        resolve()
      }
      const timer = setTimeout(finish, delayMs)
      stop?.addEventListener('abort', finish, { once: true })
    })
  },
  disk: realDisk,
}

/** An identifier that no other process has: 16 random bytes in hex. */
export const newInstanceId = () => randomBytes(16).toString('hex')
