//! One process for one directory: a lock that the kernel gives back when its holder dies, however it dies.
import { join } from 'node:path'
import type { Log } from './log.ts'
import type { Cancel, World } from './world.ts'

/** Beside what it protects. Its bytes mean nothing: it may be there, and may be left there. */
const LOCK_FILE = 'lock'
const SQLITE_BUSY = 5

/**
 * Null where another holds the directory, this process included. An exclusive transaction of SQLite is a lock by fcntl, which
 * ends with the process; a file with a process id would have to be believed after a crash. The journal stays in memory, so that
 * a full disk does not stop the start.
 */
export async function lockDirectory(directory: string): Promise<Cancel | null> {
  // Only who locks pays for loading it.
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(directory, LOCK_FILE))
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null
    throw error
  }
  held.add(database)
  return () => {
    if (held.delete(database)) database.close()
  }
}

/** Another Otlier works in the directory. */
export class DirectoryInUse extends Error {
  readonly directory: string
  constructor(directory: string) {
    super(`${directory} is in use by another Otlier`)
    this.name = 'DirectoryInUse'
    this.directory = directory
  }
}

/** The directory for this process alone, or none. Rejects with DirectoryInUse. */
export async function lockedDirectory(
  directory: string | null,
  world: World,
  log: Log,
): Promise<{ readonly directory: string | null; unlock(): void }> {
  if (directory === null) return { directory, unlock() {} }
  let unlock: Cancel | null
  try {
    unlock = await world.disk.lock(directory)
  } catch (error) {
    log.warn({ directory, error }, 'the directory cannot be locked; what is learned is kept in memory only')
    return { directory: null, unlock() {} }
  }
  if (unlock === null) throw new DirectoryInUse(directory)
  return { directory, unlock }
}

/** A database that nobody refers to is closed by the garbage collector, and its lock with it. */
const held = new Set<object>()
