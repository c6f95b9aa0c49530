//! What the demo shows: a line for each thing that happens, incidents with their reasons, and the scorecard.
import { clip, harmless, number } from '../../base/words.ts'
import { FAULTS, type Injection } from './faults.ts'
import type { Said } from './said.ts'
import type { Score } from './scorecard.ts'

type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'none'
const CODES: Readonly<Record<Colour, string>> = {
  red: '\u001b[31m',
  green: '\u001b[32m',
  yellow: '\u001b[33m',
  dim: '\u001b[2m',
  none: '',
}

const LABEL_WIDTH = 10
const MOST_SUSPECTS = 3
const MOST_LENGTH = 300
/** What departs is told before its incident is: so many of them wait, of so many incidents. */
const MOST_REASONS = 4
const MOST_INCIDENTS = 100

export class Feed {
  readonly #print: (line: string) => void
  readonly #isColoured: boolean
  /** By incident: what departs, as far as it has not been shown. Null once the incident has been. */
  readonly #reasons = new Map<string, string[] | null>()

  constructor(print: (line: string) => void, isColoured: boolean) {
    this.#print = print
    this.#isColoured = isColoured
  }

  line(atMs: number, label: string, text: string, colour: Colour = 'none'): void {
    const time = new Date(atMs).toISOString().slice(11, 19)
    this.#print(`${time}  ${this.#paint(label.padEnd(LABEL_WIDTH), colour)}  ${clean(text)}`)
  }

  begins(atMs: number, { name, beginMs, endMs }: Injection): void {
    this.line(atMs, 'FAULT', `${name}: ${FAULTS[name].what}, for ${seconds(endMs - beginMs)}`, 'yellow')
  }

  ends(atMs: number, { name }: Injection): void {
    this.line(atMs, 'fault over', name, 'dim')
  }

  hear(said: Said, atMs: number): void {
    const { event, body, severity } = said
    if (event === 'otlier.anomaly.opened') this.#depart(said, atMs)
    else if (event === 'otlier.incident.opened') {
      this.line(atMs, 'INCIDENT', body, severity >= 17 ? 'red' : 'yellow')
      this.#explain(said)
    } else if (event === 'otlier.incident.updated') {
      this.line(atMs, 'update', body)
      this.#suspects(said)
    } else if (event === 'otlier.incident.resolved') {
      this.#reasons.delete(said.incident)
      this.line(atMs, 'resolved', body, 'green')
    }
  }

  #depart({ incident, body }: Said, atMs: number): void {
    const waiting = this.#reasons.get(incident)
    if (waiting === null) this.line(atMs, 'also', body, 'dim')
    else if (waiting !== undefined) {
      if (waiting.length < MOST_REASONS) waiting.push(body)
    } else if (this.#reasons.size < MOST_INCIDENTS) this.#reasons.set(incident, [body])
  }

  #explain(said: Said): void {
    const { incident, body, contributors } = said
    // The title says what the first suspect shows already.
    const reasons = (this.#reasons.get(incident) ?? []).filter(reason => !body.startsWith(reason))
    if (this.#reasons.has(incident) || this.#reasons.size < MOST_INCIDENTS) this.#reasons.set(incident, null)
    this.#suspects(said)
    for (const reason of reasons) this.#under('because', reason)
    for (const part of contributors) this.#under('apart', part)
    this.#under('incident', incident)
  }

  #suspects({ suspects, scores }: Said): void {
    const shown = suspects.slice(0, MOST_SUSPECTS).map((name, at) => `${name} (${number(scores[at] ?? 0)})`)
    if (shown.length > 0) this.#under('suspects', shown.join(', then '))
  }

  #under(label: string, text: string): void {
    this.#print(
      `${' '.repeat(LABEL_WIDTH)}${this.#paint(label.padStart(LABEL_WIDTH), 'dim')}  ${clean(text)}`,
    )
  }

  #paint(text: string, colour: Colour): string {
    return this.#isColoured && colour !== 'none' ? `${CODES[colour]}${text}\u001b[0m` : text
  }
}

/** The scorecard in lines. */
export function scoreWords(score: Score): string[] {
  const { faults, injected, detected, located, medianDelayMs, again, falseAlarms } = score
  const delay = medianDelayMs === null ? 'none' : seconds(medianDelayMs)
  const rows = faults.map(({ injection: { name }, delayMs, suspect, located: isRight }) => {
    const found =
      delayMs === null
        ? 'not detected'
        : `after ${seconds(delayMs).padEnd(5)}  suspect ${clean(suspect)}${isRight ? '' : `, and it was ${FAULTS[name].culprit}`}`
    return `  ${name.padEnd(16)}  ${found}`
  })
  return [
    'Scorecard',
    ...rows,
    '',
    `  injected ${injected}, detected ${detected}, located ${located}, median delay ${delay}, false alarms ${falseAlarms}` +
      `${again > 0 ? `, told again ${again}` : ''}`,
  ]
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`

/** What comes out of telemetry must not steer the terminal. */
const clean = (text: string): string => harmless(clip(text, MOST_LENGTH))
