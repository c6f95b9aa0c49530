//! Random traces for the laws of assembly: calls across services, with everything that goes wrong on the way of their spans.
import type { Sent } from './assembly.ts'
import { START_MS } from './planes.ts'
import { between, bytes, chance, int, logNormal, pick, type Random } from './random.ts'

interface Place {
  readonly service: string
  readonly pod: string
  readonly machine: string
  readonly skewNs: bigint
}

const KINDS = ['internal', 'client', 'client', 'producer', 'server'] as const
/** Thresholds of whole sixteenths, and for how many spans they let one stand. */
const SAMPLINGS = [
  { traceState: '', weight: 1 },
  { traceState: '', weight: 1 },
  { traceState: 'ot=th:8', weight: 2 },
  { traceState: 'vendor=1, ot=rv:00000000000001;th:c,other=x', weight: 4 },
]
const MS = 1_000_000n
const hex = (random: Random, length: number) => Buffer.from(bytes(random, length)).toString('hex')

/** Services of one to three pods, on machines whose clocks differ by up to 300 ms; some do not say where they run. */
function town(random: Random): Place[][] {
  const machines = Array.from({ length: 4 }, (_, n) => ({
    machine: n === 0 ? '' : `node-${n}`,
    skewNs: BigInt(between(random, -300, 300)) * MS,
  }))
  return Array.from({ length: 5 }, (_, n) =>
    Array.from({ length: between(random, 1, 3) }, (_, pod) => {
      const name = chance(random, 0.1) ? '' : `s${n}-${pod}`
      return { service: `s${n}`, pod: name, ...pick(random, machines) }
    }),
  )
}

/** `count` traces that begin within `overMs` of START_MS. Some of their spans are lost, come twice, or make no sense. */
export function randomTraces(random: Random, count: number, overMs: number): Sent[] {
  const services = town(random)
  const sent: Sent[] = []
  for (let n = 0; n < count; n++) {
    const traceId = chance(random, 0.03) ? pick(random, ['', '0'.repeat(32)]) : hex(random, 16)
    const sampling = pick(random, SAMPLINGS)
    const startNs = (BigInt(START_MS) + BigInt(int(random, overMs))) * MS + BigInt(int(random, 1e6))
    const add = (
      place: Place,
      kind: (typeof KINDS)[number] | 'consumer',
      from: bigint,
      ns: bigint,
      parentSpanId: string,
    ) => {
      const spanId = chance(random, 0.01) ? '' : hex(random, 8)
      const span = {
        name: `op-${int(random, 3)}`,
        kind,
        traceId,
        spanId,
        parentSpanId: chance(random, 0.01) ? spanId : parentSpanId,
        ...(sampling.traceState === '' ? {} : { traceState: sampling.traceState }),
        startNs: from + place.skewNs,
        durationNs: chance(random, 0.02) ? -1 - int(random, 1000) : Number(ns),
        status: chance(random, 0.15) ? ('error' as const) : ('unset' as const),
      }
      const { service, pod, machine } = place
      if (!chance(random, 0.05)) sent.push({ service, pod, machine, span, weight: sampling.weight })
      return spanId
    }
    const visit = (
      place: Place,
      parent: string,
      kind: (typeof KINDS)[number] | 'consumer',
      from: bigint,
      depth: number,
    ) => {
      const ns = BigInt(Math.round(logNormal(random, 40e6 / depth, 1)))
      const id = add(place, kind, from, ns, parent)
      if (depth > 4) return
      const at = () => from + (ns * BigInt(int(random, 120))) / 100n
      const other = () => pick(random, pick(random, services))
      if (kind === 'client') {
        if (chance(random, 0.85)) visit(other(), id, 'server', at(), depth + 1)
      } else if (kind === 'producer') {
        // Some consumers come so much later that they are another group of the trace.
        const laterNs = chance(random, 0.3) ? BigInt(between(random, 5_000, 25_000)) * MS : 0n
        visit(other(), id, 'consumer', at() + laterNs, depth + 1)
      } else {
        for (let left = int(random, 4); left > 0; left--) {
          const call = pick(random, KINDS)
          visit(call === 'server' ? other() : place, id, call, at(), depth + 1)
        }
      }
    }
    visit(
      pick(random, pick(random, services)),
      chance(random, 0.1) ? hex(random, 8) : '',
      'server',
      startNs,
      1,
    )
  }
  const again = sent.filter(() => chance(random, 0.05))
  return [...sent, ...again]
}

/** An order in which no span comes later than `latenessMs` after any that came before it has ended. */
export function arrivals(random: Random, sent: readonly Sent[], latenessMs: number): Sent[] {
  const endMs = ({ span }: Sent) => Number((span.startNs + BigInt(span.durationNs)) / 1000n) / 1000
  return sent
    .map(one => ({ one, at: endMs(one) + random() * latenessMs }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one)
}
