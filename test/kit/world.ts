//! A world that a test owns: a clock that moves when told to, chance from a seed, and a disk in memory.
import type { Disk, DiskFile, World } from '../../src/base/world.ts'
import { seeded } from './random.ts'

export interface SimulatedWorld extends World {
  /** Moves the clock by `ms`, running every timer that falls due at its own time, and what follows from each. */
  advance(ms: number): Promise<void>
  /** Moves the clock to the next timer again and again until `done`. Fails when none is left, or after an hour. */
  until(done: () => boolean): Promise<void>
  /** Lets everything run that waits for no clock. */
  settle(): Promise<void>
  /** Moves the wall clock alone, as an operator or NTP does. */
  jump(ms: number): void
  /** Spends CPU time without moving the clock, as a slow function does. */
  burn(ms: number): void
  /** How many timers are pending: none are left behind by something that has been closed. */
  timers(): number
  readonly disk: MemoryDisk
}

export interface MemoryDisk extends Disk {
  readonly files: Map<string, Uint8Array>
  /** What every operation rejects with from now on; null makes the disk well again. */
  failure: Error | null
}

interface Timer {
  readonly at: number
  readonly order: number
  readonly act: () => void
}

const HOUR_MS = 3_600_000

/** `startMs` is the wall clock's time at the beginning. */
export function simulatedWorld(seed: number, startMs = Date.UTC(2026, 0, 5, 12)): SimulatedWorld {
  const random = seeded(seed)
  const timers = new Set<Timer>()
  let clock = 0
  let offset = startMs
  let burnt = 0
  let order = 0

  function after(delayMs: number, act: () => void) {
    const timer = { at: clock + Math.max(0, delayMs), order: order++, act }
    timers.add(timer)
    return () => void timers.delete(timer)
  }

  function earliest(): Timer | null {
    let first: Timer | null = null
    for (const timer of timers) {
      if (first === null || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    }
    return first
  }

  /** Runs the next timer that is due by `limit`, and says whether there was one. */
  async function step(limit: number): Promise<boolean> {
    const timer = earliest()
    if (timer === null || timer.at > limit) return false
    timers.delete(timer)
    clock = Math.max(clock, timer.at)
    timer.act()
    await settle()
    return true
  }

  return {
    now: () => offset + clock,
    monotonic: () => clock,
    cpu: () => burnt,
    random,
    after,
    sleep(delayMs, stop) {
      return new Promise(resolve => {
        if (stop?.aborted) return resolve()
        const finish = () => {
          cancel()
          stop?.removeEventListener('abort', finish)
          resolve()
        }
        const cancel = after(delayMs, finish)
        stop?.addEventListener('abort', finish, { once: true })
      })
    },
    async advance(ms) {
      const target = clock + ms
      await settle()
      while (await step(target));
      clock = target
    },
    async until(done) {
      const limit = clock + HOUR_MS
      await settle()
      while (!done()) {
        if (!(await step(limit)))
          throw new Error(`nothing is left to wait for within an hour, at ${clock} ms`)
      }
    },
    settle,
    jump: ms => void (offset += ms),
    burn: ms => void (burnt += ms),
    timers: () => timers.size,
    disk: memoryDisk(),
  }
}

/** Promises that wait for promises are done within a turn of the event loop. */
const settle = () => new Promise<void>(resolve => setImmediate(resolve))

function memoryDisk(): MemoryDisk {
  const files = new Map<string, Uint8Array>()
  const disk: MemoryDisk = {
    files,
    failure: null,
    read: path => run(() => files.get(path) ?? null),
    writeAtomic: (path, bytes) => run(() => void files.set(path, bytes.slice())),
    rename: (from, to) =>
      run(() => {
        const bytes = files.get(from)
        if (bytes === undefined) throw Object.assign(new Error(`no such file: ${from}`), { code: 'ENOENT' })
        files.delete(from)
        files.set(to, bytes)
      }),
    remove: path => run(() => void files.delete(path)),
    list: directory =>
      run(() => {
        const inside = [...files.keys()].filter(path => path.startsWith(`${directory}/`))
        return inside.map(path => path.slice(directory.length + 1)).filter(name => !name.includes('/'))
      }),
    async usable() {
      return disk.failure === null
    },
    open: (path, create) =>
      run(() => {
        const there = files.has(path)
        if (create === there)
          throw Object.assign(new Error(`${path} is ${there ? '' : 'not '}there`), {
            code: there ? 'EEXIST' : 'ENOENT',
          })
        if (create) files.set(path, new Uint8Array())
        return openFile(path)
      }),
    syncDirectory: () => run(() => {}),
    makeDirectory: () => run(() => {}),
    lock: directory =>
      run(() => {
        if (locked.has(directory)) return null
        locked.add(directory)
        return () => void locked.delete(directory)
      }),
  }
  const locked = new Set<string>()
  const openFile = (path: string): DiskFile => {
    const content = () => files.get(path) ?? new Uint8Array()
    return {
      size: () => run(() => content().length),
      read: (position, length) => run(() => content().slice(position, position + length)),
      write: (position, bytes) =>
        run(() => {
          const more = Buffer.concat(bytes instanceof Uint8Array ? [bytes] : bytes)
          const grown = Buffer.alloc(Math.max(content().length, position + more.length))
          grown.set(content())
          grown.set(more, position)
          files.set(path, grown)
        }),
      sync: () => run(() => {}),
      truncate: length => run(() => void files.set(path, content().slice(0, length))),
      close: async () => {},
    }
  }
  async function run<T>(act: () => T): Promise<T> {
    if (disk.failure !== null) throw disk.failure
    return act()
  }
  return disk
}
