//! A client that is replaced at its age and whenever its certificates change; the old one ends when its last request has.
import type { World } from '../base/world.ts'
import { jittered } from './age.ts'

interface One<C> {
  readonly client: C
  readonly untilMs: number
  requests: number
}

export interface RenewedOptions<C> {
  make(): C
  /** Called once for each client, when nothing uses it any more. */
  end(client: C): void
  readonly ageMs: number
}

export class Renewed<C> {
  readonly #options: RenewedOptions<C>
  readonly #world: World
  #current: One<C> | null = null

  constructor(options: RenewedOptions<C>, world: World) {
    this.#options = options
    this.#world = world
  }

  /** Runs one request with the client of the moment. */
  async use<T>(request: (client: C) => Promise<T>): Promise<T> {
    if (this.#current !== null && this.#world.monotonic() >= this.#current.untilMs) this.renew()
    const one = (this.#current ??= this.#made())
    one.requests++
    try {
      return await request(one.client)
    } finally {
      one.requests--
      this.#endUnused(one)
    }
  }

  /** The next request gets a new client. */
  renew(): void {
    const old = this.#current
    this.#current = null
    if (old !== null) this.#endUnused(old)
  }

  #made(): One<C> {
    const { make, ageMs } = this.#options
    return { client: make(), untilMs: this.#world.monotonic() + jittered(ageMs, this.#world), requests: 0 }
  }

  #endUnused(one: One<C>): void {
    if (one !== this.#current && one.requests === 0) this.#options.end(one.client)
  }
}
