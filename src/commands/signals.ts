//! From SIGTERM or Ctrl-C to an ordered stop, and from the next one to an end at once; and what SIGHUP means.
import { closeSync, openSync } from 'node:fs'
import type { World } from '../base/world.ts'

export const STOP_SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const
export type StopSignal = keyof typeof STOP_SIGNALS

/** npm and a terminal both pass a Ctrl-C on: it arrives twice within milliseconds. */
export const SAME_SIGNAL_MS = 1000

export interface StopOptions {
  /** Stops in order; the count of accepted items that stopping itself lost. */
  stop(): Promise<number>
  /** What would be lost if the process ended now, in items: told in detail where it is more than nothing. */
  tellLeft(): number
  /** After this long, in milliseconds, stopping is given up. */
  limitMs(): number
  readonly say: (line: string) => void
}

export interface Stopper {
  /** To be called for every signal. */
  hear(signal: StopSignal): void
  /** The exit code, once there is one. Rejects where `stop` does, which is a bug. */
  readonly ended: Promise<number>
}

/** The first signal stops; what comes within a second of it is the same one; a later one ends at once. */
export function stopper(world: Pick<World, 'monotonic' | 'sleep'>, options: StopOptions): Stopper {
  const { promise: ended, resolve, reject } = Promise.withResolvers<number>()
  let firstMs: number | null = null
  const stopInOrder = async (signal: StopSignal) => {
    options.say(`${signal}: stopping. Nothing more is taken; what was taken is being delivered.`)
    const limitMs = options.limitMs()
    const lost = await Promise.race([options.stop(), world.sleep(limitMs).then(() => null)])
    if (lost === null)
      options.say(`stopping has not ended after ${limitMs / 1000} s; ${inWords(options.tellLeft())}`)
    else options.say(lost > 0 ? `stopped; ${inWords(lost)}` : 'stopped; nothing was lost by stopping')
    return lost === 0 ? 0 : 1
  }
  const hear = (signal: StopSignal) => {
    const nowMs = world.monotonic()
    if (firstMs === null) {
      firstMs = nowMs
      stopInOrder(signal).then(resolve, reject)
    } else if (nowMs - firstMs >= SAME_SIGNAL_MS) {
      options.say(`${signal} again: ending at once; ${inWords(options.tellLeft())}`)
      resolve(128 + STOP_SIGNALS[signal])
    }
  }
  return { hear, ended }
}

function inWords(items: number): string {
  if (items === 0) return 'nothing is lost'
  return `${items} accepted ${items === 1 ? 'item was' : 'items were'} not delivered and ${items === 1 ? 'is' : 'are'} lost`
}

/**
 * What SIGHUP means for a process that was started from a terminal: true once the terminal has gone. It must not stay behind
 * unseen, on its ports, when somebody closes a window. Where there never was a terminal, SIGHUP is an operator's.
 */
export function hasLostTerminal(hadTerminal: boolean): boolean {
  if (!hadTerminal) return false
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    return true
  }
}
