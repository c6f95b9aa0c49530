//! A run of the demo on a virtual clock: the same shop, faults, SDK and planes, without sockets and without waiting.

import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { Registry } from '../../../src/base/counters.ts'
import { silentLog } from '../../../src/base/log.ts'
import type { EventRecord } from '../../../src/bus/bus.ts'
import { HISTORY_MS, PER_SECOND, SETTINGS } from '../../../src/commands/demo/demo.ts'
import { type Injection, scheduled } from '../../../src/commands/demo/faults.ts'
import { type Said, saidIn } from '../../../src/commands/demo/said.ts'
import { Scorecard } from '../../../src/commands/demo/scorecard.ts'
import { Shop } from '../../../src/commands/demo/shop.ts'
import { Traffic } from '../../../src/commands/demo/traffic.ts'
import { loadConfig } from '../../../src/commands/load-config.ts'
import { encodeEvents } from '../../../src/edge/encode.ts'
import { ACCEPTED, type CheckedBatch, NO_HEADERS } from '../../../src/flow/sink.ts'
import { detecting, planes } from '../../../src/otlier.ts'
import { protoToJson } from '../../../src/wire/json-out.ts'
import { simulatedWorld } from '../../kit/world.ts'

const LIVE_MS = Date.UTC(2026, 0, 5, 12)
const STEP_MS = 1000

/** The demo for `forMs` after its history. Everything that Otlier said, and the score. */
export async function virtualDemo(seed: number, forMs: number, schedule = scheduled) {
  const world = simulatedWorld(seed, LIVE_MS)
  const { config } = await loadConfig(
    { config: [], set: SETTINGS, portOffset: null },
    { variables: {}, disk: world.disk, memory: { totalBytes: 2 ** 33, limitBytes: 0 } },
  )
  const latestMs = () => world.now() + config.processors.otlier.windowMs
  const next = { send: async (_: CheckedBatch) => ACCEPTED, close: async () => {} }
  const both = planes(next, world, silentLog, new Registry(), detecting(config), latestMs)
  const pending: EventRecord[] = []
  both.bus.listen('event', event => pending.push(event))
  const exporter: SpanExporter = {
    export(spans, done) {
      const bytes = ProtobufTraceSerializer.serializeRequest(spans) as Uint8Array
      const batch = { signal: 'traces' as const, bytes, receivedMs: world.now(), headers: NO_HEADERS }
      void both.inspector.send(batch).then(({ kind }) => done({ code: kind === 'accepted' ? 0 : 1 }))
    },
    shutdown: async () => {},
  }
  const traffic = new Traffic(new Shop(seed, PER_SECOND), exporter, LIVE_MS - HISTORY_MS)
  const card = new Scorecard()
  const said: { atMs: number; said: Said }[] = []
  function hear() {
    if (pending.length === 0) return
    const json = Buffer.from(protoToJson('logs', encodeEvents(pending.splice(0), '0').bytes)).toString()
    for (const each of saidIn(json)) {
      said.push({ atMs: world.now(), said: each })
      card.hear(each, world.now())
    }
  }
  await traffic.history(LIVE_MS, () => {})
  hear()
  const injections: Injection[] = []
  for (let n = 0; ; n++) {
    const injection = schedule(n, LIVE_MS)
    if (injection.beginMs >= LIVE_MS + forMs) break
    injections.push(injection)
    card.inject(injection)
  }
  while (world.now() < LIVE_MS + forMs) {
    await world.advance(STEP_MS)
    traffic.work(world.now(), injections)
    await traffic.flush()
    both.inspector.passTime()
    hear()
  }
  await traffic.close()
  both.learner.close()
  await both.inspector.close()
  return { said, score: card.score(world.now()), spans: traffic.spans, liveMs: LIVE_MS }
}
