//! A level that learns what was judged a minute ago, so that the onset of a fault is seen before it is learned.
import { type Slots, singleSlots } from '../base/slots.ts'
import { Level } from '../detect/location.ts'
import type { Middle } from '../detect/robust.ts'
import { LAG_WINDOWS } from '../detect/scales.ts'

/** A window whose middle lies so many spreads above the level is far out. */
const FAR_SPREADS = 2

/** Where in a row they stand, after the level itself: this window's middle, and what the last windows had of the same. */
const NOW = Level.WIDTH
const FAR = NOW + 3
const HOURLY = FAR + 1
const WAITING = HOURLY + 1
/** Where the next of these is put. */
const AT = WAITING + 3 * LAG_WINDOWS
const WIDTH = AT + 1

export const levelSlots = (): Slots<Float32Array> => singleSlots(WIDTH)

/** Of a level that nothing has been heard of: most series need one of their three. What constructors write to it is always the same. */
const UNHEARD = new Float32Array(WIDTH)
UNHEARD[HOURLY] = Number.NaN
const NONE = -1

export class LaggedLevel extends Level {
  readonly #slots: Slots<Float32Array> | null
  #slot = NONE

  /** `slots`: null where nothing will ever be heard of it. */
  constructor(slots: Slots<Float32Array> | null) {
    super(UNHEARD)
    this.#slots = slots
  }

  /** This window's, in natural logarithms of nanoseconds. From now on the level has a row of its own. */
  get now(): Middle {
    if (this.#slots === null) throw new Error('nothing is ever heard of this level')
    this.claim()
    return new MiddleAt(this.numbers, this.from + NOW)
  }

  /** So many windows with samples in a row were far out. */
  get farWindows(): number {
    return this.numbers[this.from + FAR]
  }

  /** The level at the end of the last full hour. */
  get hourly(): number {
    return this.numbers[this.from + HOURLY]
  }

  set hourly(level: number) {
    if (this.#slot !== NONE) this.numbers[this.from + HOURLY] = level
  }

  /** Ends the window: what waited longest is learned, unless `frozen`. Before the level is ready nothing waits. */
  turn(frozen: boolean, spread: number, windowMs: number): void {
    if (this.#slot === NONE) return
    const { numbers, from } = this
    const now = from + NOW
    const [n, mean, variance] = [numbers[now], numbers[now + 1], numbers[now + 2]]
    if (n > 0) {
      const isFar = mean - this.mean > FAR_SPREADS * Math.sqrt(this.variance)
      numbers[from + FAR] = isFar ? numbers[from + FAR] + 1 : 0
    }
    if (!this.isReady) this.learn(n, mean, variance, spread, windowMs)
    else {
      const at = from + WAITING + numbers[from + AT] * 3
      if (!frozen) this.learn(numbers[at], numbers[at + 1], numbers[at + 2], spread, windowMs)
      numbers.copyWithin(at, now, now + 3)
      numbers[from + AT] = (numbers[from + AT] + 1) % LAG_WINDOWS
    }
    numbers[now] = 0
  }

  /** As it was known before a restart. */
  restore(samples: number, mean: number, variance: number): void {
    if (!(samples > 0) || this.#slots === null) return
    this.claim()
    this.samples = samples
    this.mean = mean
    this.variance = variance
  }

  /** A level that is taken as normal has not drifted. */
  adopt(shift: number): void {
    if (this.#slot === NONE) return
    this.mean += shift
    this.hourly += shift
    this.forgetWaiting()
  }

  /** Nothing that waits is learned any more. */
  forgetWaiting(): void {
    if (this.#slot !== NONE) this.numbers.fill(0, this.from + WAITING, this.from + AT)
  }

  /** What it takes up is used by others from now on. What it was last can still be read. */
  release(): void {
    if (this.#slot === NONE) return
    this.numbers = this.numbers.slice(this.from, this.from + WIDTH)
    this.from = 0
    this.#slots?.give(this.#slot)
  }

  /** Not a private method: each class that has some costs every one of its objects a word. */
  protected claim(): void {
    const slots = this.#slots
    if (this.#slot !== NONE || slots === null) return
    this.#slot = slots.take()
    this.numbers = slots.pieceOf(this.#slot)
    this.from = slots.fromOf(this.#slot)
    this.numbers.set(UNHEARD, this.from)
  }
}

/** A middle that stands in a row. */
class MiddleAt implements Middle {
  readonly #numbers: Float32Array
  readonly #from: number

  constructor(numbers: Float32Array, from: number) {
    this.#numbers = numbers
    this.#from = from
  }

  get n(): number {
    return this.#numbers[this.#from]
  }

  set n(n: number) {
    this.#numbers[this.#from] = n
  }

  get mean(): number {
    return this.#numbers[this.#from + 1]
  }

  set mean(mean: number) {
    this.#numbers[this.#from + 1] = mean
  }

  get variance(): number {
    return this.#numbers[this.#from + 2]
  }

  set variance(variance: number) {
    this.#numbers[this.#from + 2] = variance
  }
}
