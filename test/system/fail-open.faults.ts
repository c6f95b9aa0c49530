//! Failing open in the running service, under load: with an ill scorer every request is taken, forwarded as it came and counted, and marks come back with the cure.
import { expect, onTestFinished, test, vi } from 'vitest'
import { realWorld } from '../../src/base/world.ts'
import type { SeriesModel } from '../../src/bus/bus.ts'
import type * as modelsModule from '../../src/flow/models.ts'
import type { Models } from '../../src/flow/models.ts'
import { differences, imbalances, scrapeAccounts } from '../kit/accounts.ts'
import { type Backend, startBackend } from '../kit/backend.ts'
import { GrpcClient } from '../kit/client.ts'
import { tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { places } from '../oracle/bytes.ts'
import { removeMarks } from '../oracle/marks.ts'

/** The data plane's own table of models, and what happens in it while it makes a mark. */
const scorer = vi.hoisted(() => ({ models: null as Models | null, onMark: () => {} }))
vi.mock('../../src/flow/models.ts', async original => {
  const real = await original<typeof modelsModule>()
  class WatchedModels extends real.Models {
    constructor(...given: ConstructorParameters<typeof real.Models>) {
      super(...given)
      scorer.models = this
    }
    override incidentOf(series: SeriesModel) {
      scorer.onMark()
      return super.incidentOf(series)
    }
  }
  return { ...real, Models: WatchedModels }
})

/** Really: the thread does nothing else. */
function burn(ms: number) {
  const untilMs = realWorld.cpu() + ms
  while (realWorld.cpu() < untilMs);
}

/** Whoever makes a mark acts first. */
const atEachMark = (act: () => void) => () => {
  scorer.onMark = act
  return () => void (scorer.onMark = () => {})
}

/** What the scorer does, the reason it is counted under, and how it falls ill; what that returns is the cure. */
const ILLNESSES: readonly (readonly [string, string, () => () => void])[] = [
  [
    'throws',
    'error',
    atEachMark(() => {
      throw new TypeError('a bug')
    }),
  ],
  ['burns 50 ms a batch', 'time', atEachMark(() => burn(50))],
  [
    'returns NaN',
    'nan',
    () => {
      const models = scorer.models as Models
      const { limitNs } = models
      models.limitNs = limitNs.map(() => Number.NaN)
      return () => void (models.limitNs = limitNs)
    },
  ],
]

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const LANES = 8
const SPANS = 20
const HISTORY = 300
/** The scorer is tried three times, left out for a second, tried again, and left out for two. */
const ILL_MS = 1500
const BACK_WITHIN_MS = 30_000

/** One ResourceSpans, as there is in every request: whole, wherever it is merged. The spans end a millisecond apart. */
const request = (endMs: number, count: number, durationMs: (n: number) => number) => {
  const spans = Array.from({ length: count }, (_, n) => ({
    name: 'POST /pay',
    kind: 'server' as const,
    startNs: BigInt(Math.round((endMs + n - durationMs(n)) * 1000)) * 1000n,
    durationNs: durationMs(n) * 1e6,
  }))
  return tracesRequest([{ service: 'shop', spans }])
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

/** What has arrived, request by request, marks taken off. */
const arrived = ({ requests }: Pick<Backend, 'requests'>, from = 0) =>
  requests
    .slice(from)
    .filter(({ signal }) => signal === 'traces')
    .flatMap(({ bytes, atMs }) =>
      places(bytes).map(({ start, end }) => {
        const { bytes: bare, marks } = removeMarks(bytes.subarray(start, end))
        return { text: text(bare), marks: marks.length, atMs }
      }),
    )

/** A sender that has sent its history, and is now under way until told to end. Each of its requests has an outlier. */
async function scene() {
  const backend = await startBackend()
  onTestFinished(() => backend.stop())
  // No window is closed meanwhile: the model stays the same.
  const service = await startService([...toGrpc(backend.grpc), 'processors.otlier.allowed_lateness=5m'])
  const client = new GrpcClient(service.grpcPort)
  onTestFinished(async () => {
    client.session.destroy()
    await service.stop()
  })
  const startMs = Date.now()
  const history = request(startMs - 60_000, HISTORY, n => 10 + (n % 5))
  const sent = new Map([[text(history), { phase: 'well', atMs: performance.now() }]])
  const codes = [(await client.export('traces', history)).code]
  const state = { phase: 'well', ended: false }
  async function lane(at: number) {
    for (let n = 0; !state.ended; n++) {
      // Of an hour ago: scored, and too late to be learned of, or an outlier in each would soon be nothing odd.
      const endMs = startMs - 3_600_000 + (n * LANES + at) * SPANS
      const bytes = request(endMs, SPANS, n => (n === 7 ? 3000 : 10))
      const { phase } = state
      const atMs = performance.now()
      codes.push((await client.export('traces', bytes)).code)
      sent.set(text(bytes), { phase: phase === state.phase ? phase : 'between', atMs })
      await pause(5)
    }
  }
  const lanes = Promise.all(Array.from({ length: LANES }, (_, at) => lane(at)))
  return {
    backend,
    sent,
    codes,
    state,
    async end() {
      state.ended = true
      await lanes
    },
    scrape: () => scrapeAccounts(service.metricsPort),
    /** How long from now until something has arrived with a mark that is sent from now on. */
    async marked() {
      const nowMs = performance.now()
      const from = backend.requests.length
      for (; performance.now() < nowMs + BACK_WITHIN_MS; await pause(100)) {
        const isNew = ({ text }: { text: string }) => (sent.get(text)?.atMs ?? 0) >= nowMs
        const first = arrived(backend, from).find(each => each.marks > 0 && isNew(each))
        if (first !== undefined) return first.atMs - nowMs
      }
      return Number.POSITIVE_INFINITY
    },
  }
}

test.each(ILLNESSES)(
  'a scorer that %s costs nothing but marks under load, and they come back within 30 s of the cure',
  async (_, reason, fallIll) => {
    const { backend, sent, codes, state, scrape, marked, end } = await scene()
    expect(await marked()).toBeLessThan(BACK_WITHIN_MS)
    const cure = fallIll()
    state.phase = 'ill'
    for (const untilMs = performance.now() + ILL_MS; performance.now() < untilMs; await pause(200))
      expect(imbalances(await scrape())).toEqual([])
    cure()
    state.phase = 'well'
    expect(await marked()).toBeLessThan(BACK_WITHIN_MS)
    await end()

    expect(new Set(codes)).toEqual(new Set([0]))
    const accepted = HISTORY + SPANS * (codes.length - 1)
    const destinations = { otlp: { sent: accepted, queued: 0 } }
    await expect
      .poll(async () => differences(await scrape(), 'traces', { accepted, destinations }))
      .toEqual([])
    const came = arrived(backend)
    expect(came.filter(({ text }) => !sent.has(text))).toEqual([])
    expect([came.length, new Set(came.map(({ text }) => text)).size]).toEqual([sent.size, sent.size])
    const whileIll = came.filter(({ text }) => sent.get(text)?.phase === 'ill')
    expect(whileIll.length).toBeGreaterThan(30)
    expect(whileIll.filter(({ marks }) => marks > 0)).toEqual([])

    const last = await scrape()
    expect(imbalances(last)).toEqual([])
    const bypassed = (labels = {}) => last.sum('otlier_detection_bypassed_total', labels)
    expect(bypassed({ reason })).toBeGreaterThanOrEqual(whileIll.length)
    // Each that has an outlier and no mark is counted, and no other: the history has none.
    expect(bypassed()).toBe(came.filter(({ marks }) => marks === 0).length - 1)
  },
)
