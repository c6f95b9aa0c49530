//! What users complain about in the field, rows D of the requirements, as laws of the whole service.
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type Backend, type BackendOptions, startBackend } from '../kit/backend.ts'
import { GrpcClient, httpCall, PROTOBUF, statusOf } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { decodeRequest } from '../kit/messages.ts'
import { tracesRequest } from '../kit/odd.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { complaints, load } from '../kit/settings.ts'

const stops: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function backend(options: BackendOptions = {}) {
  const started = await startBackend(options)
  stops.push(() => started.stop())
  return started
}

async function service(settings: readonly string[], parts: Parameters<typeof startService>[1] = {}) {
  const started = await startService(['shutdown_timeout=1s', ...settings], parts)
  const client = new GrpcClient(started.grpcPort)
  let lost: Promise<number> | null = null
  const stop = () => {
    client.session.close()
    lost ??= started.stop()
    return lost
  }
  stops.push(stop)
  const sample = async (name: string, exporter = 'otlp', more = '') =>
    (await started.metrics()).get(`otlier_exporter_${name}{exporter="${exporter}"${more}}`) ?? 0
  return { ...started, client, stop, sample }
}

async function until(what: string, done: () => boolean | Promise<boolean>) {
  for (let tries = 0; tries < 2000; tries++) {
    if (await done()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`waited in vain until ${what}`)
}

/** One span of so many bytes, whose name tells it apart. */
const span = (name: string, bytes = 0) =>
  tracesRequest([
    {
      service: 'shop',
      spans: [
        {
          name,
          kind: 'server',
          startNs: BigInt(Date.now()) * 1_000_000n,
          durationNs: 1e6,
          attributes: { filler: 'x'.repeat(bytes) },
        },
      ],
    },
  ])

/** The names of the spans that were answered with success, in the order of their arrival. */
const namesOf = (requests: Backend['requests']) =>
  requests
    .filter(({ signal }) => signal === 'traces')
    .flatMap(({ bytes }) => decodeRequest('traces', bytes).resource_spans)
    .flatMap(({ scope_spans }) => scope_spans)
    .flatMap(({ spans }) => spans.map((each: { name: string }) => each.name))

const RETRY_SOON = ['initial_interval=5ms', 'max_interval=20ms'].map(
  each => `exporters.otlp.retry_on_failure.${each}`,
)

describe('what is delivered', () => {
  test('D1 a batch beyond the limit of the backend is divided, and only the one span that is too big is dropped and counted', async () => {
    const peer = await backend({ maxBytes: 100_000 })
    const otlier = await service(toGrpc(peer.grpc))
    const sizes = [30_000, 30_000, 30_000, 30_000, 200_000, 30_000]
    const parts = sizes.map((bytes, at) => span(`s${at}`, bytes))
    expect((await otlier.client.export('traces', Buffer.concat(parts))).code).toBe(0)
    await until('all is settled', async () => (await otlier.sample('sent_spans_total')) === 5)
    expect(await otlier.sample('dropped_spans_total', 'otlp', ',reason="too_large"')).toBe(1)
    const whole = peer.requests.filter(({ bytes }) => bytes.length <= 100_000)
    expect(namesOf(whole).toSorted()).toEqual(['s0', 's1', 's2', 's3', 's5'])
  })

  test('D2 after a success every span is delivered or counted with the reason why not, and which success it is stands in the configuration', async () => {
    const peer = await backend({ script: () => ({ kind: 'status', code: 14 }) })
    const { shown } = await load({ set: toGrpc(peer.grpc) })
    expect(shown).toMatchObject({ exporters: { otlp: { sending_queue: { acknowledge: 'memory' } } } })
    const otlier = await service([
      ...toGrpc(peer.grpc),
      'exporters.otlp.sending_queue.size_mib=1',
      'exporters.otlp.sending_queue.when_full=drop_oldest',
      'exporters.otlp.retry_on_failure.initial_interval=1ms',
      'exporters.otlp.retry_on_failure.max_elapsed_time=100ms',
    ])
    for (let n = 0; n < 10; n++)
      expect((await otlier.client.export('traces', span(`s${n}`, 300_000))).code).toBe(0)
    const lost = async () => {
      const metrics = await otlier.metrics()
      const read = (what: string, reason: string) =>
        metrics.get(`otlier_exporter_${what}_spans_total{exporter="otlp",reason="${reason}"}`) ?? 0
      return {
        full: read('dropped', 'queue_full') + read('enqueue_failed', 'queue_full'),
        expired: read('dropped', 'expired'),
      }
    }
    await until('all is settled', async () => {
      const { full, expired } = await lost()
      return full + expired === 10
    })
    const { full, expired } = await lost()
    expect([full > 0, expired > 0]).toEqual([true, true])
  })

  test('D7 a request that one of two destinations has not taken goes to that one again, with the same bytes, and not to the other', async () => {
    let tries = 0
    const failing = await backend({
      script: () => (++tries <= 3 ? { kind: 'status', code: 14 } : { kind: 'ok' }),
    })
    const well = await backend()
    const otlier = await service([...toGrpc(failing.grpc), ...toGrpc(well.grpc, 'otlp/well'), ...RETRY_SOON])
    expect((await otlier.client.export('traces', span('a'))).code).toBe(0)
    await until('it is taken', async () => (await otlier.sample('sent_spans_total')) === 1)
    expect((await otlier.client.export('traces', span('b'))).code).toBe(0)
    await until('the next one is, too', async () => (await otlier.sample('sent_spans_total')) === 2)
    expect(namesOf(failing.requests)).toEqual(['a', 'a', 'a', 'a', 'b'])
    expect(
      failing.requests
        .slice(1, 4)
        .every(({ bytes }) => Buffer.compare(bytes, failing.requests[0].bytes) === 0),
    ).toBe(true)
    await until('the other has both', () => namesOf(well.requests).length === 2)
    expect(namesOf(well.requests)).toEqual(['a', 'b'])
  })

  test('D8 a dead destination does not keep the others from theirs', async () => {
    // It takes connections, and says nothing at all.
    const hole = createServer(socket => socket.on('error', () => {}))
    await new Promise<void>(resolve => hole.listen(0, '127.0.0.1', resolve))
    stops.push(() => void hole.close())
    const { port } = hole.address() as { port: number }
    const well = await backend()
    const otlier = await service([
      ...toGrpc(`127.0.0.1:${port}`, 'otlp/dead'),
      ...toGrpc(well.grpc),
      'exporters.otlp/dead.sending_queue.size_mib=1',
    ])
    for (let n = 0; n < 12; n++)
      expect((await otlier.client.export('traces', span(`s${n}`, 200_000))).code).toBe(0)
    await until('all has arrived', () => namesOf(well.requests).length === 12)
    expect(
      await otlier.sample('enqueue_failed_spans_total', 'otlp/dead', ',reason="queue_full"'),
    ).toBeGreaterThan(0)
    expect((await otlier.health()).body).toMatch(/queue of otlp\/dead is full/)
  })

  test('D9 a stop that loses something says how much; with a destination that answers it loses nothing', async () => {
    const { log, lines } = recordingLog()
    const hung = await backend({ script: () => ({ kind: 'hang' }) })
    const first = await service(toGrpc(hung.grpc), { log })
    for (let n = 0; n < 5; n++) await first.client.export('traces', span(`s${n}`))
    expect(await first.stop()).toBe(5)
    expect(lines.some(({ level, message }) => level === 'error' && message.includes('stopping lost'))).toBe(
      true,
    )
    const well = await backend()
    const second = await service(toGrpc(well.grpc))
    for (let n = 0; n < 5; n++) await second.client.export('traces', span(`s${n}`))
    expect(await second.stop()).toBe(0)
    expect(namesOf(well.requests)).toHaveLength(5)
  })
})

describe('memory and load', () => {
  test('D3 a request is refused by what it declares, before a byte of it is kept, and as UNAVAILABLE or 503, never as an error of the server', async () => {
    const peer = await backend()
    const otlier = await service([...toGrpc(peer.grpc), 'memory_limit_mib=64'])
    const declared = 13 * 2 ** 20
    const head = Buffer.alloc(6)
    head.writeUInt32BE(declared, 1)
    const inFlight = async () => (await otlier.metrics()).get('otlier_receiver_in_flight') ?? 0
    let held: { close(code: number): void } | null = null
    const first = otlier.client.call({ body: [head], open: true, onWritten: stream => void (held = stream) })
    await until('it is admitted', async () => (await inFlight()) === declared)
    const other = new GrpcClient(otlier.grpcPort)
    stops.push(() => void other.session.close())
    const refused = await other.call({ body: [head], open: true })
    expect([refused.code, refused.details?.retryMs]).toEqual([14, 1000])
    const headers = { ...PROTOBUF, 'content-length': String(declared) }
    const reply = await httpCall({ port: otlier.httpPort, headers, body: 'x', open: true })
    expect([reply.status, reply.headers['retry-after'], statusOf(reply).code]).toEqual([503, '1', 14])
    expect(await inFlight()).toBe(declared)
    expect((await otlier.health()).body).toMatch(/degraded.*bytes of requests/)
    // Small ones go on.
    expect((await other.export('traces', span('small'))).code).toBe(0)
    ;(held as { close(code: number): void } | null)?.close(8)
    await first
    await until('health is well again', async () => (await otlier.health()).body.includes('"ready"'))
    const counted = [...(await otlier.metrics())].filter(([name]) => name.includes('reason="OTLIER_BUDGET"'))
    expect(counted.reduce((sum, [, count]) => sum + count, 0)).toBe(2)
  })

  test('D4 and D10 after an outage that filled the queue everything is taken again without a restart, and the backlog is delivered', async () => {
    const peer = await backend({ script: () => ({ kind: 'status', code: 14 }) })
    const { log, lines } = recordingLog()
    const otlier = await service(
      [...toGrpc(peer.grpc), ...RETRY_SOON, 'exporters.otlp.sending_queue.size_mib=2'],
      { log },
    )
    const codes: number[] = []
    for (let n = 0; n < 40; n++)
      codes.push((await otlier.client.export('traces', span(`o${n}`, 200_000))).code)
    expect(codes.filter(code => code === 14).length).toBeGreaterThan(20)
    expect(new Set(codes)).toEqual(new Set([0, 14]))
    const backlog = codes.filter(code => code === 0).length
    peer.script = () => ({ kind: 'ok' })
    await until('the backlog is delivered', async () => (await otlier.sample('sent_spans_total')) === backlog)
    for (let n = 0; n < 40; n++) {
      expect((await otlier.client.export('traces', span(`n${n}`, 200_000))).code).toBe(0)
      await until('it has left', async () => (await otlier.sample('sent_spans_total')) === backlog + n + 1)
    }
    expect((await otlier.health()).body).toContain('"ready"')
    const told = lines
      .map(({ message }) => message)
      .filter(message => message.startsWith('the sending queue'))
    expect(told).toEqual([
      'the sending queue is full; senders are asked to come again',
      'the sending queue has room again',
    ])
  })

  test.each(['grpc', 'http'] as const)(
    'D13 over %s, where the destination hangs and its queue is full, the answer comes at once and says when to come again',
    async transport => {
      const peer = await backend({ script: () => ({ kind: 'hang' }) })
      const otlier = await service([...toGrpc(peer.grpc), 'exporters.otlp.sending_queue.size_mib=1'])
      const bytes = span('s', 300_000)
      const send = async () => {
        if (transport === 'grpc') {
          const { code, details } = await otlier.client.export('traces', bytes)
          return { isTaken: code === 0, isBusy: code === 14, waitMs: details?.retryMs ?? null }
        }
        const { status, headers } = await httpCall({ port: otlier.httpPort, headers: PROTOBUF, body: bytes })
        const wait = headers['retry-after']
        return {
          isTaken: status === 200,
          isBusy: status === 503,
          waitMs: wait === undefined ? null : 1000 * Number(wait),
        }
      }
      const answers = []
      // Ten answers within the time that an SDK gives to one.
      const limit = AbortSignal.timeout(10_000)
      for (let n = 0; n < 10; n++) answers.push(await send())
      expect(limit.aborted).toBe(false)
      const busy = answers.filter(({ isBusy }) => isBusy)
      expect(answers.filter(({ isTaken }) => isTaken)).toHaveLength(3)
      expect(busy).toHaveLength(7)
      expect(busy.filter(({ waitMs }) => waitMs === null || waitMs < 1000 || waitMs > 5000)).toEqual([])
    },
  )
})

describe('what operators see', () => {
  test('D11 health follows from the state of the parts: a full queue is named in it while it is full, and answered 200', async () => {
    const peer = await backend({ script: () => ({ kind: 'status', code: 14 }) })
    const otlier = await service([
      ...toGrpc(peer.grpc),
      ...RETRY_SOON,
      'exporters.otlp.sending_queue.size_mib=1',
    ])
    const seen = async () => {
      const { status, body } = await otlier.health()
      const { status: state, reasons } = JSON.parse(body)
      return { status, state, reasons }
    }
    expect(await seen()).toEqual({ status: 200, state: 'ready', reasons: [] })
    for (let n = 0; n < 6; n++) await otlier.client.export('traces', span(`s${n}`, 300_000))
    expect(await seen()).toEqual({
      status: 200,
      state: 'degraded',
      reasons: ['The sending queue of otlp is full.'],
    })
    peer.script = () => ({ kind: 'ok' })
    await until('the queue is empty', async () => (await otlier.sample('queue_size')) === 0)
    // The queue knows by the next batch that comes.
    expect((await otlier.client.export('traces', span('again'))).code).toBe(0)
    expect(await seen()).toEqual({ status: 200, state: 'ready', reasons: [] })
  })

  test('D12 no setting surprises: nothing is deleted by an empty value, no $ vanishes, 0123 stays what it is, a wrong key is named with the right one', async () => {
    const text = (lines: string[]) => `${lines.join('\n')}\n`
    const exporter = ['exporters:', '  otlp:', '    endpoint: http://a:4317']
    const { config } = await load({
      files: {
        'one.yaml': text([...exporter, '    headers: {pass: "a$$b$$", code: 0123}']),
        'two.yaml': text(['exporters:', '  otlp:', '    timeout: 7s', '    sending_queue:']),
      },
    })
    expect(config.exporters).toMatchObject([
      { timeoutMs: 7000, headers: { pass: 'a$b$', code: '0123' }, sendingQueue: { numConsumers: 10 } },
    ])
    const wrong = await load({ files: text([...exporter, '    sending_queue: {num_consumer: 3}']) })
    expect(complaints(wrong).join('\n')).toMatch(/otlier\.yaml:4:\d+: .*did you mean num_consumers/)
    // Loopback unless told otherwise, in a container as well.
    expect(config.receivers.otlp.protocols.grpc?.endpoint?.host).toBe('127.0.0.1')
  })
})
