//! What exporters send: bytes, compression, headers, addresses; and over which connections.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../../src/base/log.ts'
import { debugExporter } from '../../../src/edge/debug-out.ts'
import { leadsBackTo } from '../../../src/edge/exporter.ts'
import { type HttpSettings, signalUrl } from '../../../src/edge/http-out.ts'
import { jsonToProto } from '../../../src/wire/json.ts'
import { type Backend, startBackend } from '../../kit/backend.ts'
import { recordingLog } from '../../kit/log.ts'
import { addressOf, exporterTo, INSTANCE, requestOf, TRANSPORTS } from './scene.ts'

let backend: Backend
beforeAll(async () => {
  backend = await startBackend()
})
afterAll(() => backend.stop())

const numbered = (count: number) => Array.from({ length: count }, (_, n) => `a${n}`)
const last = () => backend.requests.at(-1) as Backend['requests'][number]

/** Sends one request and closes the exporter again. */
async function once(type: (typeof TRANSPORTS)[number], overrides: Partial<HttpSettings> = {}, headers = {}) {
  const { exporter } = exporterTo(type, addressOf(backend, type), overrides)
  const { request, bytes } = requestOf(['a1', 'a2'], 'traces', headers)
  const answer = await exporter.export(request)
  await exporter.close()
  return { answer, bytes }
}

test.each(TRANSPORTS)('C11 %s: one connection serves request after request', async type => {
  const { exporter } = exporterTo(type, addressOf(backend, type))
  const from = backend.requests.length
  for (let n = 0; n < 20; n++) await exporter.export(requestOf([`a${n}`]).request)
  expect(new Set(backend.requests.slice(from).map(({ connection }) => connection)).size).toBe(1)
  await exporter.close()
})

test.each(TRANSPORTS)('C13 %s: gzip is said in the header, and unpacks to the same bytes', async type => {
  const raw = await startBackend({ raw: true })
  const header = type === 'otlp' ? 'grpc-encoding' : 'content-encoding'
  for (const [compression, said] of [
    ['gzip', 'gzip'],
    ['none', undefined],
  ] as const) {
    const { exporter } = exporterTo(type, addressOf(raw, type), { compression })
    const { request, bytes } = requestOf(numbered(500))
    expect((await exporter.export(request)).kind).toBe('delivered')
    await exporter.close()
    const { headers, bytes: unpacked, wireBytes } = raw.requests.at(-1) as Backend['requests'][number]
    expect(headers[header]).toBe(said)
    expect(Buffer.compare(unpacked, bytes)).toBe(0)
    if (compression === 'gzip') expect(wireBytes).toBeLessThan(bytes.length / 2)
    else expect(wireBytes).toBe(bytes.length)
  }
  await raw.stop()
})

describe('C14 OTLP/HTTP', () => {
  const url = (address: string, exact = false) => {
    const settings = {
      endpoint: { url: address, scheme: 'http', host: 'x', port: 1 },
      exact,
    } as unknown as HttpSettings
    return signalUrl(settings, 'metrics').href
  }

  test('C14 the content type is that of the encoding', async () => {
    await once('otlphttp')
    expect(last().headers['content-type']).toBe('application/x-protobuf')
    expect(last().headers['content-length']).toBe(String(last().bytes.length))
    const { bytes } = await once('otlphttp', { encoding: 'json', compression: 'gzip' })
    expect(last().headers['content-type']).toBe('application/json')
    expect(Buffer.compare(jsonToProto('traces', last().bytes), bytes)).toBe(0)
  })

  test('C14 v1/<signal> is added to the base endpoint, whatever its path', async () => {
    expect(url('http://collector:4318')).toBe('http://collector:4318/v1/metrics')
    expect(url('http://collector:4318/')).toBe('http://collector:4318/v1/metrics')
    expect(url('http://collector:4318/mycollector')).toBe('http://collector:4318/mycollector/v1/metrics')
    expect(url('http://collector:4318/mycollector/')).toBe('http://collector:4318/mycollector/v1/metrics')
    expect(url('https://collector.example.com/otlp?tenant=7')).toBe(
      'https://collector.example.com/otlp/v1/metrics?tenant=7',
    )
    const { exporter } = exporterTo('otlphttp', `${backend.http}/base/`)
    for (const signal of ['traces', 'metrics', 'logs'] as const) {
      await exporter.export(requestOf(['a1'], signal).request)
      expect(last().path).toBe(`/base/v1/${signal}`)
    }
    await exporter.close()
  })

  test("C14 a signal's own endpoint is used as it is", async () => {
    expect(url('https://collector.example.com/v1/metrics', true)).toBe(
      'https://collector.example.com/v1/metrics',
    )
    expect(url('http://collector:4318', true)).toBe('http://collector:4318/')
    expect(url('http://collector:4318/v1/traces', true)).toBe('http://collector:4318/v1/traces')
  })
})

test.each(TRANSPORTS)('C15 %s: the user agent names the exporter and its version', async type => {
  await once(type)
  expect(last().headers['user-agent']).toMatch(/^otlier\/1\.2\.3\b/)
})

describe.each(TRANSPORTS)('%s: headers', type => {
  test('of the settings and of the batch are sent, and every Otlier on the way is named', async () => {
    await once(
      type,
      { headers: { Authorization: 'Bearer x', 'X-Scope-OrgID': 'set' } },
      { 'x-scope-orgid': 'forwarded', 'x-more': 'y' },
    )
    expect(last().headers).toMatchObject({
      authorization: 'Bearer x',
      'x-scope-orgid': 'set',
      'x-more': 'y',
      'otlier-via': INSTANCE,
    })
    await once(type, {}, { 'otlier-via': 'first,second' })
    expect(last().headers['otlier-via']).toBe(`first,second,${INSTANCE}`)
  })

  test('that a destination repeats in its answer are masked, whole and word by word', async () => {
    const repeating = await startBackend({ raw: true })
    const said = 'Bearer s3cret+/t0ken== is not s3cret+/t0ken== and a short one is yes'
    const headers = { authorization: 'Bearer s3cret+/t0ken==', 'x-short': 'yes' }
    const { exporter } = exporterTo(type, addressOf(repeating, type), { headers, encoding: 'json' })
    const { request } = requestOf(['a1'])
    repeating.script = () =>
      type === 'otlp'
        ? { kind: 'status', code: 16, message: said }
        : { kind: 'http', status: 401, body: JSON.stringify({ message: said }) }
    expect(await exporter.export(request)).toMatchObject({
      kind: 'refused',
      cause: { message: expect.stringContaining('**** is not **** and a short one is yes') },
    })
    repeating.script = () => ({ kind: 'partial', rejected: 0, message: said })
    expect(await exporter.export(request)).toMatchObject({
      kind: 'delivered',
      message: '**** is not **** and a short one is yes',
    })
    await exporter.close()
    await repeating.stop()
  })

  test('that cannot be sent are left out, and the request arrives', async () => {
    const odd = {
      'content-length': '3',
      connection: 'close',
      te: 'gzip',
      host: 'elsewhere',
      'grpc-timeout': '1n',
      'transfer-encoding': 'chunked',
      'x-line': 'a\r\nb: c',
      'x-null': '\0',
      'x-ümlaut': 'a',
      'x-value': 'ümlaut',
      '': 'nothing',
      ':path': '/elsewhere',
      'user-agent': 'somebody',
      'x-fine': 'yes',
    }
    const { answer, bytes } = await once(type, { headers: odd }, odd)
    expect(answer.kind).toBe('delivered')
    expect(Buffer.compare(last().bytes, bytes)).toBe(0)
    expect(last().headers['x-fine']).toBe('yes')
    for (const name of ['x-line', 'x-null', 'x-value']) expect(last().headers).not.toHaveProperty(name)
  })
})

test.each(TRANSPORTS)('%s: a request of several parts arrives as their concatenation', async type => {
  const { exporter } = exporterTo(type, addressOf(backend, type))
  const parts = [
    requestOf(['a1']).bytes,
    requestOf(['a2', 'a3']).bytes,
    new Uint8Array(0),
    requestOf(['a4']).bytes,
  ]
  await exporter.export({ signal: 'traces', parts, headers: {}, items: 4 })
  expect(Buffer.compare(last().bytes, Buffer.concat(parts))).toBe(0)
  await exporter.close()
})

test('gRPC goes over a Unix socket and by name, too', async () => {
  const { exporter } = exporterTo('otlp', `http://localhost:${backend.grpcPort}`)
  expect((await exporter.export(requestOf(['a1']).request)).kind).toBe('delivered')
  await exporter.close()
  const { exporter: unix } = exporterTo('otlp', 'unix:///nowhere/at/all.sock')
  expect(await unix.export(requestOf(['a1']).request)).toMatchObject({
    kind: 'busy',
    cause: { code: 'OTLIER_UNREACHABLE' },
  })
  await unix.close()
})

describe('the debug exporter', () => {
  test('tells a line for each batch', async () => {
    const { log, lines } = recordingLog()
    const exporter = debugExporter({ id: 'debug' }, log)
    const { request, bytes } = requestOf(['a1', 'a2'], 'logs')
    expect(await exporter.export(request)).toEqual({ kind: 'delivered', rejectedItems: 0, message: '' })
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'batch',
        fields: { exporter: 'debug', signal: 'logs', items: 2, bytes: bytes.length },
      },
    ])
  })

  test('in detail, tells the items in JSON, and never more than a bound', async () => {
    const { log, lines } = recordingLog()
    const exporter = debugExporter({ id: 'debug', verbosity: 'detailed' }, log)
    await exporter.export(requestOf(['a1']).request)
    expect(JSON.parse(lines[0].fields['json'] as string)).toEqual({
      resourceSpans: [{ scopeSpans: [{ spans: [{ name: 'a1' }] }] }],
    })
    await exporter.export(requestOf(Array.from({ length: 20_000 }, (_, n) => `a${n}`)).request)
    expect((lines[1].fields['json'] as string).length).toBeLessThan(70_000)
  })

  test('never fails', async () => {
    await debugExporter({ id: 'debug' }, silentLog).close()
  })
})

describe('a destination that leads back to Otlier itself', () => {
  const at = (host: string, port = 4317) => ({ type: 'otlp', endpoint: { host, port } })

  test.each([
    'localhost',
    'LOCALHOST',
    '127.0.0.1',
    '::1',
    '0:0:0:0:0:0:0:1',
    '0.0.0.0',
    '::',
    'collector.localhost',
  ])('is seen when it is %s, and Otlier listens on every address', host => {
    expect(leadsBackTo(at(host), { host: '0.0.0.0', port: 4317 })).toBe(true)
    expect(leadsBackTo(at(host), { host: '::', port: 4317 })).toBe(true)
  })

  test('is seen when Otlier listens on loopback alone', () => {
    const loopback = { host: '127.0.0.1', port: 4317 }
    for (const host of ['localhost', '127.0.0.1', '0.0.0.0', '::ffff:127.0.0.1'])
      expect(leadsBackTo(at(host), loopback)).toBe(true)
    expect(leadsBackTo(at('localhost'), { host: 'localhost', port: 4317 })).toBe(true)
    expect(leadsBackTo(at('::1'), { host: '::1', port: 4317 })).toBe(true)
  })

  test('is another one when the port, the address or the kind is another', () => {
    expect(leadsBackTo(at('localhost', 4318), { host: '127.0.0.1', port: 4317 })).toBe(false)
    expect(leadsBackTo(at('jaeger'), { host: '0.0.0.0', port: 4317 })).toBe(false)
    expect(leadsBackTo(at('192.0.2.7'), { host: '0.0.0.0', port: 4317 })).toBe(false)
    expect(leadsBackTo(at('127.0.0.2'), { host: '127.0.0.1', port: 4317 })).toBe(false)
    expect(leadsBackTo(at(''), { host: '127.0.0.1', port: 4317 })).toBe(false)
    expect(leadsBackTo({ type: 'debug' }, { host: '127.0.0.1', port: 4317 })).toBe(false)
  })
})
