//! Things by text that none of them keeps: where the same text can be made of each again, a table of hashes is enough to find it.

const SMALLEST = 64

/** At most half of its places are taken. */
export class Hashed<T> {
  /** In the order in which they were added. To be read only. */
  things: T[] = []
  /** Hash and number + 1 of a thing, side by side; 0 is free. */
  #places = new Int32Array(2 * SMALLEST)

  /** The thing of a text; `is` asks a thing whether it is. */
  find(text: string, is: (thing: T, text: string) => boolean): T | undefined {
    const hash = hashOf(text)
    const places = this.#places
    const mask = places.length - 1
    for (let place = (hash << 1) & mask; places[place + 1] !== 0; place = (place + 2) & mask) {
      if (places[place] !== hash) continue
      const thing = this.things[places[place + 1] - 1]
      if (is(thing, text)) return thing
    }
    return undefined
  }

  /** Adds what is not there. */
  add(text: string, thing: T): void {
    this.things.push(thing)
    if (4 * this.things.length > this.#places.length) this.#grow()
    this.#put(hashOf(text), this.things.length)
  }

  /** Holds these from now on, and no others. */
  refill(things: readonly T[], textOf: (thing: T) => string): void {
    this.things = []
    this.#places = new Int32Array(2 * SMALLEST)
    for (const thing of things) this.add(textOf(thing), thing)
  }

  #put(hash: number, number: number): void {
    const places = this.#places
    const mask = places.length - 1
    let place = (hash << 1) & mask
    while (places[place + 1] !== 0) place = (place + 2) & mask
    places[place] = hash
    places[place + 1] = number
  }

  #grow(): void {
    const before = this.#places
    this.#places = new Int32Array(2 * before.length)
    for (let place = 0; place < before.length; place += 2)
      if (before[place + 1] !== 0) this.#put(before[place], before[place + 1])
  }
}

function hashOf(text: string): number {
  let hash = text.length
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x85ebca6b)
    hash ^= hash >>> 15
  }
  return hash
}
