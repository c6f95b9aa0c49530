//! The length of a union of intervals: how long somebody was at work in any of them.

/** Up to so many are sorted by insertion. */
const FEW = 32

/** Used again and again: `clear`, `add`, `total`. */
export class Intervals {
  #count = 0
  #from = new Float64Array(64)
  #to = new Float64Array(64)

  clear(): void {
    this.#count = 0
  }

  add(from: number, to: number): void {
    if (this.#count === this.#from.length) this.#grow()
    this.#from[this.#count] = from
    this.#to[this.#count++] = to
  }

  /** Sums of whole numbers below 2^53 are exact, so the order of additions does not matter. */
  total(): number {
    const count = this.#count
    const from = this.#from
    const to = this.#to
    if (count === 0) return 0
    if (count === 1) return to[0] - from[0]
    if (count <= FEW) this.#insert()
    else this.#sort()
    let sum = 0
    let reached = from[0]
    for (let nth = 0; nth < count; nth++) {
      if (to[nth] <= reached) continue
      sum += to[nth] - Math.max(reached, from[nth])
      reached = to[nth]
    }
    return sum
  }

  #insert(): void {
    const from = this.#from
    const to = this.#to
    for (let nth = 1; nth < this.#count; nth++) {
      const start = from[nth]
      const stop = to[nth]
      let place = nth
      for (; place > 0 && from[place - 1] > start; place--) {
        from[place] = from[place - 1]
        to[place] = to[place - 1]
      }
      from[place] = start
      to[place] = stop
    }
  }

  #sort(): void {
    const count = this.#count
    const from = this.#from.slice(0, count)
    const to = this.#to.slice(0, count)
    const order = Int32Array.from(from.keys()).sort((a, b) => from[a] - from[b])
    for (let nth = 0; nth < count; nth++) {
      this.#from[nth] = from[order[nth]]
      this.#to[nth] = to[order[nth]]
    }
  }

  #grow(): void {
    const from = new Float64Array(2 * this.#count)
    from.set(this.#from)
    this.#from = from
    const to = new Float64Array(2 * this.#count)
    to.set(this.#to)
    this.#to = to
  }
}
