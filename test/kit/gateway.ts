//! Requests of a gateway and the carts that it calls, by the clock, for the whole service: the carts are slow for a while.
import { type PlainSpan, tracesRequest } from './odd.ts'
import { logNormal, seeded } from './random.ts'

const MINUTE_MS = 60_000

/** What a gateway and the carts that it calls sent from `startMs` on: a request every five seconds, carts six times as slow for three minutes. */
export function requests(
  startMs: number,
  faultMs: number,
  endMs: number,
): { endMs: number; bytes: Uint8Array }[] {
  const random = seeded(7)
  const sent: { endMs: number; bytes: Uint8Array }[] = []
  let ids = 0
  const id = (length: number) => (++ids).toString(16).padStart(length, '0')
  for (let fromMs = startMs; fromMs < endMs; fromMs += 5000) {
    const gateway: PlainSpan[] = []
    const carts: PlainSpan[] = []
    for (let n = 0; n < 10; n++) {
      const beginMs = fromMs + n * 400
      const slow = beginMs >= faultMs && beginMs < faultMs + 3 * MINUTE_MS ? 6 : 1
      const own = logNormal(random, 12 * slow, 0.3)
      const traceId = id(32)
      const [root, call] = [id(16), id(16)]
      const span = (
        name: string,
        kind: NonNullable<PlainSpan['kind']>,
        spanId: string,
        parentSpanId: string,
        ms: number,
        more: number,
      ): PlainSpan => ({
        name,
        kind,
        traceId,
        spanId,
        parentSpanId,
        startNs: BigInt(Math.round((beginMs + more) * 1000)) * 1000n,
        durationNs: Math.round(ms * 1e6),
      })
      gateway.push(
        span('POST /pay', 'server', root, '', own + 9, 0),
        span('call carts', 'client', call, root, own + 3, 3),
      )
      carts.push(span('GET /cart', 'server', id(16), call, own, 4))
    }
    sent.push({
      endMs: fromMs + 5000,
      bytes: tracesRequest([
        { service: 'gateway', spans: gateway },
        { service: 'carts', spans: carts },
      ]),
    })
  }
  return sent
}
