//! The stream clock: what time it is for the telemetry of all senders together, whatever a single one of them believes.
import { quietMs, type Waits } from '../bus/delay.ts'

/** A sender counts as one of the others while it is at most so many windows behind; alone is who made so many without them. */
const WHILE_WINDOWS = 3
/** As often as the others go on while one stays far ahead, before its clock counts as wrong. */
const STRIKES = 6
/** Requests in a row that are far older than what the sender sent before: then its clock has been set back. */
const SET_BACK = 3

const NEVER = Number.NEGATIVE_INFINITY

/** One machine, or pod where the machine is not known. */
interface Sender {
  /** The latest span end, by its own clock. */
  latestMs: number
  /** The latest span end of the request in hand. */
  requestMs: number
  /** How often in a row the others went on without coming near it. */
  ahead: number
  /** Requests in a row that were far behind the stream; far behind its own latest. */
  behind: number
  old: number
  /** Its clock is ahead of everybody's: it does not move the stream's. */
  off: boolean
  /** Whether it has ever sent what was not too old. */
  current: boolean
}

/**
 * It is the latest span end of any sender, but no single sender moves it further ahead of the others than whole traces are
 * waited for (so that it takes nothing from the allowed lateness of theirs), unless they have been silent while it went on for
 * three windows. It never goes back. It is moved by requests:
 * `saw` for each sender in one, then `settle`. In silence it goes on as time does (`pass`), in a live service.
 */
export class StreamClock {
  /** Milliseconds since 1970; -Infinity until two senders agree, or one has been alone for a while. */
  nowMs: number = NEVER
  /** How often a sender's clock was found to be wrong, or to have been set back. */
  jumps = 0
  readonly #options: Pick<Waits, 'traceWaitMs'>
  readonly #windowMs: number
  readonly #senders: (Sender | undefined)[] = []
  /** Those who have spans in the request in hand. */
  readonly #request: Sender[] = []
  /** The two senders whose clocks are right and furthest on. */
  #first: Sender | null = null
  #second: Sender | null = null
  /** How far the first has come without the others, no step counting for more than a window. */
  #aloneMs = 0
  /** The same for those whose clocks are off. */
  #offMs = 0
  /** Where the clock stood, by the monotonic one, when a sender moved it last. */
  #anchorMs: number = NEVER
  #anchorMonotonicMs = 0

  /** The wait is read each time: it may change. */
  constructor(options: Pick<Waits, 'traceWaitMs'> & { readonly windowMs: number }) {
    this.#options = options
    this.#windowMs = options.windowMs
  }

  /** Whether the sender's clock is ahead of everybody's. */
  isOff(sender: number): boolean {
    return this.#senders[sender]?.off ?? false
  }

  /** What makes a span of the sender late: its age, a clock that is behind, or that the sender begins with history. */
  whyLate(sender: number): 'age' | 'clock' | 'history' {
    const known = this.#senders[sender]
    if (known === undefined || !known.current) return 'history'
    return known.behind >= SET_BACK ? 'clock' : 'age'
  }

  /** Forgets a sender, whose number will stand for another. False where it is one of the two by which the clock goes. Between requests. */
  forget(number: number): boolean {
    const sender = this.#senders[number]
    if (sender === undefined) return true
    if (sender === this.#first || sender === this.#second) return false
    this.#senders[number] = undefined
    return true
  }

  /** Takes note of a span end in the request in hand. */
  saw(number: number, endMs: number): void {
    const sender = (this.#senders[number] ??= newSender())
    if (sender.requestMs === NEVER) this.#request.push(sender)
    if (endMs > sender.requestMs) sender.requestMs = endMs
  }

  /** Takes note of the latest span end that a request has from a sender. True where a sender that is one of the others goes on. */
  #heed(sender: Sender, endMs: number): boolean {
    const isCurrent = endMs >= this.nowMs - WHILE_WINDOWS * this.#windowMs
    if (isCurrent) {
      sender.behind = 0
      sender.current = true
    } else sender.behind++
    const stepMs = endMs - sender.latestMs
    this.#follow(sender, endMs, stepMs)
    return isCurrent && stepMs > 0 && !sender.off
  }

  #follow(sender: Sender, endMs: number, stepMs: number): void {
    if (stepMs > 0) this.#rise(sender, endMs, Math.min(stepMs, this.#windowMs))
    else if (stepMs < -WHILE_WINDOWS * this.#windowMs) {
      if (++sender.old < SET_BACK) return
      sender.latestMs = endMs
      sender.old = 0
      sender.off = false
      this.jumps++
      this.#rank()
    } else sender.old = 0
  }

  /** Moves the clock to where the senders are. To be called after each request; `monotonicMs` is when that is. */
  settle(monotonicMs: number): void {
    let goesOn = false
    for (const sender of this.#request) {
      if (this.#heed(sender, sender.requestMs)) goesOn = true
      sender.requestMs = NEVER
    }
    this.#request.length = 0
    const first = this.#first
    if (first === null) return
    const untilMs = this.#trustedMs(first)
    if (untilMs > this.nowMs) this.#moveTo(untilMs, monotonicMs)
    else if (goesOn) {
      // Where spans come, they say how fast time goes, and not the clock on the wall: a recording may be sent at any speed.
      this.#anchorMs = untilMs
      this.#anchorMonotonicMs = monotonicMs
    }
  }

  /** In silence the clock goes on as time does, never beyond `latestMs`. What one sender says is enough to begin with here. */
  pass(monotonicMs: number, latestMs: number): void {
    if (this.nowMs === NEVER) {
      if (this.#first !== null) this.#moveTo(Math.min(this.#first.latestMs, latestMs), monotonicMs)
      return
    }
    const passedMs = Math.min(this.#anchorMs + monotonicMs - this.#anchorMonotonicMs, latestMs)
    if (passedMs > this.nowMs) this.nowMs = passedMs
  }

  /** The senders whose clocks are off, and by how much they are ahead of the stream; less than nothing where behind. */
  *offsets(): Generator<readonly [sender: number, offsetMs: number]> {
    for (const [number, sender] of this.#senders.entries()) {
      if (sender !== undefined && (sender.off || sender.behind >= SET_BACK))
        yield [number, sender.latestMs - this.nowMs]
    }
  }

  #moveTo(untilMs: number, monotonicMs: number): void {
    this.nowMs = this.#anchorMs = untilMs
    this.#anchorMonotonicMs = monotonicMs
  }

  #trustedMs(first: Sender): number {
    const second = this.#second
    const windowMs = this.#windowMs
    if (this.#aloneMs >= WHILE_WINDOWS * windowMs) return first.latestMs
    if (second === null) return this.nowMs === NEVER ? NEVER : first.latestMs
    // Whoever is that far behind is not there at the moment.
    if (second.latestMs < this.nowMs - WHILE_WINDOWS * windowMs) return first.latestMs
    return Math.min(first.latestMs, second.latestMs + Math.min(windowMs, quietMs(this.#options)))
  }

  #rise(sender: Sender, endMs: number, stepMs: number): void {
    sender.latestMs = endMs
    sender.old = 0
    if (sender.off) {
      this.#forgive(sender, stepMs)
      return
    }
    this.#offMs = 0
    this.#place(sender)
    const [first, second] = [this.#first, this.#second]
    const lead = first === null || second === null ? 0 : first.latestMs - second.latestMs
    if (sender === first) {
      this.#aloneMs = second === null || lead > this.#windowMs ? this.#aloneMs + stepMs : 0
      return
    }
    if (endMs < this.nowMs - WHILE_WINDOWS * this.#windowMs) return
    this.#aloneMs = 0
    if (first === null || sender !== second) return
    first.ahead = lead > this.#windowMs ? first.ahead + 1 : 0
    if (first.ahead < STRIKES) return
    first.ahead = 0
    first.off = true
    this.jumps++
    this.#rank()
  }

  /** A sender that was off is taken back when the stream comes near it, or when nobody else is left. */
  #forgive(sender: Sender, stepMs: number): void {
    this.#offMs += stepMs
    if (this.#offMs >= WHILE_WINDOWS * this.#windowMs) {
      for (const each of this.#senders) if (each !== undefined) each.off = false
      this.#offMs = 0
    } else if (sender.latestMs <= this.nowMs + this.#windowMs) sender.off = false
    if (!sender.off) this.#rank()
  }

  /** Puts a sender that has gone on among the two that lead. */
  #place(sender: Sender): void {
    if (sender === this.#first) return
    if (this.#first === null || sender.latestMs > this.#first.latestMs) {
      this.#second = this.#first
      this.#first = sender
    } else if (this.#second === null || sender.latestMs > this.#second.latestMs) this.#second = sender
  }

  #rank(): void {
    this.#first = this.#second = null
    this.#aloneMs = 0
    for (const sender of this.#senders) if (sender !== undefined && !sender.off) this.#place(sender)
  }
}

const newSender = (): Sender => ({
  latestMs: NEVER,
  requestMs: NEVER,
  ahead: 0,
  behind: 0,
  old: 0,
  off: false,
  current: false,
})
