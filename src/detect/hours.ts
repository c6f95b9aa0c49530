//! What came at the same hours of the two days before: a job of every night is no fault of every night.

const HOUR_MS = 3_600_000
const HOURS = 24
/** Of a day without departures, as most are. Nobody writes to it. */
const CALM = new Float32Array(HOURS)

/**
 * The largest departures by hour of the day. What both of the last two days had within an hour of this one is usual; one day alone
 * proves nothing, or a fault would excuse the next at its hour.
 */
export class Hours {
  #day = Number.NaN
  #today = CALM
  #yesterday = CALM
  #before = CALM

  /** Takes note of a departure, in the units of its feature. */
  note(timeMs: number, shift: number): void {
    this.#turn(timeMs)
    const hour = Math.floor(timeMs / HOUR_MS) % HOURS
    if (!(shift > this.#today[hour])) return
    if (this.#today === CALM) this.#today = new Float32Array(HOURS)
    this.#today[hour] = shift
  }

  /** What is usual at this hour: 0 where nothing is. */
  usual(timeMs: number): number {
    this.#turn(timeMs)
    const hour = Math.floor(timeMs / HOUR_MS) % HOURS
    return Math.min(around(this.#yesterday, hour), around(this.#before, hour))
  }

  #turn(timeMs: number): void {
    const day = Math.floor(timeMs / (HOURS * HOUR_MS))
    if (day === this.#day) return
    const next = day === this.#day + 1
    this.#before = next ? this.#yesterday : CALM
    this.#yesterday = next ? this.#today : CALM
    this.#today = CALM
    this.#day = day
  }

  store(): readonly number[] {
    return [this.#day, ...this.#today, ...this.#yesterday, ...this.#before]
  }

  restore([day, ...hours]: readonly number[]): void {
    this.#day = day
    const [today, yesterday, before] = [0, 1, 2].map(day => hours.slice(day * HOURS, (day + 1) * HOURS))
    this.#today = dayOf(today)
    this.#yesterday = dayOf(yesterday)
    this.#before = dayOf(before)
  }
}

const dayOf = (hours: readonly number[]): Float32Array<ArrayBuffer> =>
  hours.some(shift => shift !== 0) ? Float32Array.from(hours) : CALM

const around = (hours: Float32Array, hour: number): number =>
  Math.max(hours[(hour + HOURS - 1) % HOURS], hours[hour], hours[(hour + 1) % HOURS])
