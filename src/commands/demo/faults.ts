//! The faults that the demo can inject: what each does to the shop, whom it must be blamed on, and in which order they come.

/** What is wrong with the shop at a moment. Nothing of it is told to Otlier. */
export interface Trouble {
  /** The own time of a service is so many times as long. */
  readonly slow?: { readonly service: string; readonly times: number }
  /** Packets between two services take longer, by so much there and back. */
  readonly way?: { readonly caller: string; readonly callee: string; readonly addMs: number }
  /** So many of the requests to a service fail in it. */
  readonly failing?: { readonly service: string; readonly share: number }
  /** One pod is replaced by one of a new version, whose own time is so many times as long. */
  readonly release?: { readonly service: string; readonly version: string; readonly times: number }
  /** A service no longer takes one of its steps. */
  readonly skip?: { readonly service: string; readonly to: string }
  /** A service works as ever, and none of its spans arrive. */
  readonly mute?: string
}

export interface Fault {
  /** What happens, in one clause. */
  readonly what: string
  /** The service that must be suspected first. */
  readonly culprit: string
  readonly trouble: Trouble
}

export const FAULTS = {
  'slow-dependency': {
    what: 'payment takes six times as long as usual',
    culprit: 'payment',
    trouble: { slow: { service: 'payment', times: 6 } },
  },
  'network-delay': {
    what: 'packets between frontend and cart take 80 ms longer',
    culprit: 'cart',
    trouble: { way: { caller: 'frontend', callee: 'cart', addMs: 80 } },
  },
  'error-burst': {
    what: 'a third of the requests to inventory fail',
    culprit: 'inventory',
    trouble: { failing: { service: 'inventory', share: 0.33 } },
  },
  'bad-release': {
    what: 'one of the three pods of catalog gets version 1.8.0, which is eight times as slow',
    culprit: 'catalog',
    trouble: { release: { service: 'catalog', version: '1.8.0', times: 8 } },
  },
  'missing-child': {
    what: 'checkout no longer asks shipping for a quote',
    culprit: 'checkout',
    trouble: { skip: { service: 'checkout', to: 'shipping POST /quotes' } },
  },
  silence: {
    what: 'recommendations goes on working, and its telemetry no longer arrives',
    culprit: 'recommendations',
    trouble: { mute: 'recommendations' },
  },
} as const satisfies Record<string, Fault>

export type FaultName = keyof typeof FAULTS
export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[]
export const isFaultName = (name: string): name is FaultName => Object.hasOwn(FAULTS, name)

/** One fault from a moment to another, in milliseconds since 1970. */
export interface Injection {
  readonly name: FaultName
  readonly beginMs: number
  readonly endMs: number
}

/** After the history the first fault waits so long. */
const FIRST_AFTER_MS = 5000
/** From the beginning of one fault to that of the next: an incident is over a minute after its fault. */
const EVERY_MS = 100_000
/** How long a scheduled fault lasts. */
const LASTS_MS = 40_000

/** The schedule: all faults in turn, for ever. `number` counts from 0. */
export function scheduled(number: number, liveMs: number): Injection {
  const beginMs = liveMs + FIRST_AFTER_MS + number * EVERY_MS
  return { name: FAULT_NAMES[number % FAULT_NAMES.length], beginMs, endMs: beginMs + LASTS_MS }
}

/** All that is wrong at a moment. Of two faults of one kind the later one counts. */
export function troubleAt(injections: readonly Injection[], ms: number): Trouble {
  const now = injections.filter(({ beginMs, endMs }) => beginMs <= ms && ms < endMs)
  return Object.assign({}, ...now.map(({ name }) => FAULTS[name].trouble)) as Trouble
}
