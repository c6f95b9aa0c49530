//! What an attack is, and what attacks have in common: lanes that go on until the time is over, and an account of what they have seen.

export interface Where {
  readonly grpcPort: number
  readonly httpPort: number
  readonly metricsPort: number
  /** Files and connections that the service has open. */
  openFiles(): number
}

/** How often each came: answers such as `grpc 14`, `http 503`, and `none` where a connection ended without one; and what an attack counts of itself. */
export type Seen = Map<string, number>

export interface Attack {
  readonly name: string
  /** What may be seen; anything else is a fault. */
  readonly allowed: readonly string[]
  /** And how often what must be seen, at the least: the attack has then reached what it is aimed at. */
  readonly needed: Readonly<Record<string, number>>
  /** Begins no more after `untilMs` on the clock of performance.now(), and takes everything down that it has opened. */
  run(where: Where, untilMs: number, seen: Seen): Promise<void>
}

export const MIB = 2 ** 20

export const note = (seen: Seen, what: string, times = 1) =>
  void seen.set(what, (seen.get(what) ?? 0) + times)

/** `lanes` at once, each again and again until the time is over. */
export const again = (lanes: number, untilMs: number, act: (lane: number) => Promise<void>) =>
  Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      do await act(lane)
      while (performance.now() < untilMs)
    }),
  )

/** One sentence for everything that was seen and should not have been, or not often enough. */
export function surprises({ allowed, needed }: Attack, seen: Seen): string[] {
  const unexpected = [...seen].filter(([what]) => !allowed.includes(what) && !(what in needed))
  const missing = Object.entries(needed).filter(([what, least]) => (seen.get(what) ?? 0) < least)
  return [
    ...unexpected.map(([what, times]) => `${what} was seen ${times} times`),
    ...missing.map(([what, least]) => `${what} was seen ${seen.get(what) ?? 0} times of ${least}`),
  ]
}
