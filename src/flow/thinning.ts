//! Of how many traces one is kept where there is no room for all, and which: a hash of its id decides.
import { hashOf } from './family.ts'

/** One trace in 2^12 is the least that is kept. */
const MAX_THINNING = 12
/** Whoever samples traces by their ids does not thereby choose those that are kept here. */
const SALT = 0x5bd1e995

export class Thinning {
  /** Of 2^thinning traces one is kept: whole traces of some say more than parts of all. */
  now = 0
  /** Windows that begin earlier were thinned more: by so much. */
  #beforeMs = Number.NEGATIVE_INFINITY
  #before = 0

  /** Keeps half as many traces from now on, if it may. */
  more(): boolean {
    if (this.now >= MAX_THINNING) return false
    this.now++
    return true
  }

  /** Keeps twice as many traces in windows that begin from here on. */
  less(fromMs: number): void {
    if (this.now === 0) return
    this.#before = this.of(fromMs - 1)
    this.#beforeMs = fromMs
    this.now--
  }

  /** By how much a window was thinned at most while its spans came. */
  of(windowMs: number): number {
    return windowMs < this.#beforeMs ? Math.max(this.#before, this.now) : this.now
  }

  /** Whether no window that ends by then was thinned more than what comes now. */
  isOld(endMs: number): boolean {
    return endMs >= this.#beforeMs
  }

  /** Whether a trace of this id is kept; the half of an id that is random by the rules of W3C decides. */
  keeps(high: number, low: number, thinning = this.now): boolean {
    return thinning === 0 || hashOf(high ^ SALT, low) >>> (32 - thinning) === 0
  }
}
