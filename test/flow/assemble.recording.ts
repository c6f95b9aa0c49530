//! Assembly on what real and simulated systems send: the same as the plain model, every span in it, and nothing late.
import { createReadStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { jsonToProto } from '../../src/wire/json.ts'
import { assembling, filled } from '../kit/assembly.ts'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { batchOf } from '../kit/planes.ts'
import { type Fact, featuresOf } from '../oracle/assembly.ts'
import { spans } from '../world/spans.ts'
import { makeWorld } from '../world/world.ts'

const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url))
const SETS = ['ob-0822', 'tt-0129'].filter(set => existsSync(join(DATA, set)))
if (SETS.length === 0) console.log('SKIP: assembly of recordings: ../shared/data is absent')

/** Requests of a recording that are compared: the model is slow. */
const MOST = 60
/** What tells pods apart, as the conventions name it, in the order in which a pod's key holds it. */
const KEPT = ['service.version', 'k8s.node.name', 'host.name', 'cloud.availability_zone', 'cloud.region']

/** The spans of a request as the rules see them, by a decoder that is not Otlier's. */
function factsOf(bytes: Uint8Array): Fact[] {
  const facts: Fact[] = []
  for (const { resource, scope_spans } of decodeRequest('traces', bytes).resource_spans) {
    const said = attributesOf(resource?.attributes) as Record<string, string>
    const environment = said['deployment.environment.name'] ?? ''
    const place = ['service.name', 'service.namespace'].map(key => said[key] ?? '')
    const pod = said['k8s.pod.name'] ?? said['service.instance.id'] ?? said['host.name'] ?? ''
    const kept = Object.fromEntries(
      [...KEPT, 'deployment.environment.name'].flatMap(key =>
        said[key] === undefined ? [] : [[key, said[key]]],
      ),
    )
    const [service, namespace] = place
    const podId = JSON.stringify([namespace, service, environment, pod, kept])
    for (const { spans } of scope_spans ?? []) {
      for (const span of spans ?? []) {
        const attributes = attributesOf(span.attributes)
        const status = Number(attributes['http.response.status_code'] ?? 0)
        const kind = span.kind ?? 0
        facts.push({
          traceId: span.trace_id ?? '',
          spanId: span.span_id ?? '',
          parentId: span.parent_span_id ?? '',
          series: JSON.stringify([namespace, service, environment, kind, span.name ?? '']),
          pod: podId,
          machine: said['k8s.node.name'] ?? said['host.name'] ?? podId,
          kind,
          startNs: BigInt(span.start_time_unix_nano),
          endNs: BigInt(span.end_time_unix_nano),
          failed:
            span.status?.code === 2 ||
            status >= 500 ||
            (status >= 400 && kind === 3) ||
            'error.type' in attributes,
          weight: span.trace_state === undefined ? 1 : 10,
        })
      }
    }
  }
  return facts
}

/** What is published of these requests is what the model says. Returns how many spans that were. */
async function compare(requests: readonly Uint8Array[], options = {}): Promise<number> {
  const to = assembling(options)
  for (const bytes of requests) await to.sendBatch(batchOf(bytes))
  to.flush()
  const facts = requests.flatMap(factsOf)
  expect(filled(to)).toEqual(featuresOf(facts, 10_000, 10_000))
  expect(to.registry.total('otlier.assembly.spans.late')).toBe(0)
  return facts.length
}

describe.each(SETS)('the recording %s', set => {
  test('says what the plain model says', async () => {
    const requests: Uint8Array[] = []
    const input = createReadStream(join(DATA, set, 'traces.jsonl.gz')).pipe(createGunzip())
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (requests.length < MOST) requests.push(jsonToProto('traces', Buffer.from(line)))
    }
    expect(await compare(requests)).toBeGreaterThan(1000)
  })
})

describe.each([false, true])('the simulated world, sampled: %s', sampled => {
  test('says what the plain model says', async () => {
    const HOUR_MS = 3_600_000
    const fromMs = 10 * HOUR_MS
    const requests = [...spans(makeWorld(3, { days: 3 }), { fromMs, toMs: fromMs + 3 * 60_000, sampled })]
    // Some of its spans are later than any window waits for.
    const patient = { latenessMs: 600_000 }
    expect(
      await compare(
        requests.map(({ bytes }) => bytes),
        patient,
      ),
    ).toBeGreaterThan(1000)
  })
})
