//! Small numbers for what has a long name: given out, counted by how long they are idle, given back and given out again.

export class Numbers {
  readonly #first: number
  #next: number
  readonly #free: number[] = []

  constructor(first = 0) {
    this.#first = this.#next = first
  }

  /** How many are given out. */
  get size(): number {
    return this.#next - this.#first - this.#free.length
  }

  /** The smallest that has never been given out. */
  get end(): number {
    return this.#next
  }

  take(): number {
    return this.#free.pop() ?? this.#next++
  }

  giveBack(number: number): void {
    this.#free.push(number)
  }
}

/** Counts hours in which nothing was seen of each of some numbers, up to more than any of KEPT_HOURS. */
export class IdleHours {
  #hours = new Uint8Array(1024)

  /** It has been seen in this hour. */
  seen(number: number): void {
    if (number >= this.#hours.length) {
      const hours = new Uint8Array(2 * number)
      hours.set(this.#hours)
      this.#hours = hours
    }
    this.#hours[number] = 0
  }

  of(number: number): number {
    return this.#hours[number] ?? 0
  }

  /** An hour is over, for all below `length`. */
  pass(length: number): void {
    const hours = this.#hours
    for (let number = Math.min(length, hours.length) - 1; number >= 0; number--)
      if (hours[number] < 255) hours[number]++
  }
}
