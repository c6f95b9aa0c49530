//! The laws of the OTEL_EXPORTER_OTLP_* variables.
import { describe, expect, test } from 'vitest'
import { signalUrl } from '../../src/commands/settle-config.ts'
import { complaints, load, valid } from '../kit/settings.ts'

const P = 'OTEL_EXPORTER_OTLP_'
/** Variables with the prefix added. */
const otel = (short: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(short).map(([name, value]) => [P + name, value]))
const exporters = async (short: Readonly<Record<string, string>>) =>
  (await valid({ variables: otel(short) })).config.exporters

describe('the protocol', () => {
  test.each([
    [{ ENDPOINT: 'http://x:4318' }, { type: 'otlphttp', encoding: 'proto' }],
    [{ ENDPOINT: 'http://x' }, { type: 'otlphttp', encoding: 'proto' }],
    [{ ENDPOINT: 'http://x:4317' }, { type: 'otlp', plain: true }],
    [{ ENDPOINT: 'https://x:4317' }, { type: 'otlp', plain: false }],
    [{ ENDPOINT: 'x:4317' }, { type: 'otlp', plain: false }],
    [
      { ENDPOINT: 'x:4317', INSECURE: 'true' },
      { type: 'otlp', plain: true },
    ],
    [
      { ENDPOINT: 'x:4317', INSECURE: 'TRUE' },
      { type: 'otlp', plain: true },
    ],
    [
      { ENDPOINT: 'http://x:4317', PROTOCOL: 'http/protobuf' },
      { type: 'otlphttp', encoding: 'proto' },
    ],
    [{ ENDPOINT: 'http://x:4318', PROTOCOL: 'grpc' }, { type: 'otlp' }],
    [
      { ENDPOINT: 'http://x:4318', PROTOCOL: 'http/json' },
      { type: 'otlphttp', encoding: 'json' },
    ],
    [{ ENDPOINT: ' http://x:4318 ', PROTOCOL: 'GRPC' }, { type: 'otlp' }],
  ])('of %j', async (variables, expected) => {
    expect(await exporters(variables as Record<string, string>)).toMatchObject([expected])
  })

  test('an address that HTTP cannot be sent to is an error that names the variable', async () => {
    expect(complaints(await load({ variables: otel({ ENDPOINT: 'x:4318' }) }))).toEqual([
      expect.stringMatching(
        /^OTEL_EXPORTER_OTLP_ENDPOINT: exporters\.otlphttp\.endpoint: "x:4318" is not a URL that can be sent to/,
      ),
    ])
  })
})

test('headers are percent-decoded, the last of equal names counts, and empty entries are none', async () => {
  const HEADERS = 'api-key=a%20b%3D, x = y ,,empty=,x=%E4%B8%96,eq=a=b,half=100%'
  expect(await exporters({ ENDPOINT: 'http://x:4318', HEADERS })).toMatchObject([
    { headers: { 'api-key': 'a b=', x: '世', empty: '', eq: 'a=b', half: '100%' } },
  ])
})

test('compression, timeout and certificates are taken over', async () => {
  const variables = {
    ENDPOINT: 'https://x',
    COMPRESSION: 'none',
    TIMEOUT: '1500',
    CERTIFICATE: '/ca',
    CLIENT_CERTIFICATE: '/c',
    CLIENT_KEY: '/k',
  }
  expect(await exporters(variables)).toMatchObject([
    { compression: 'none', timeoutMs: 1500, tls: { caFile: '/ca', certFile: '/c', keyFile: '/k' } },
  ])
  expect(await exporters({ ENDPOINT: 'https://x' })).toMatchObject([{ compression: 'gzip', timeoutMs: 5000 }])
})

test.each([
  ['PROTOCOL', 'grcp', /did you mean grpc\?/],
  ['COMPRESSION', 'snappy', /not one of gzip, none/],
  ['INSECURE', 'yes', /not one of true, false/],
  ['TIMEOUT', '5s', /not a number of milliseconds/],
  ['TIMEOUT', '0', /not a number of milliseconds/],
  ['HEADERS', 'hunter2', /not name=value/],
])('%s=%s is ignored with one warning, as the specification says', async (name, value, expected) => {
  const settled = await load({ variables: otel({ ENDPOINT: 'http://x:4317', [name]: value }) })
  expect(settled.problems).toMatchObject([{ severity: 'warning', place: { source: P + name } }])
  expect(complaints(settled)[0]).toMatch(expected)
  expect(complaints(settled)[0]).not.toContain('hunter2')
  const { config } = await valid({ variables: otel({ ENDPOINT: 'http://x:4317' }) })
  expect(settled.config.exporters).toEqual(config.exporters)
})

test('an empty variable is none', async () => {
  expect(await exporters({ ENDPOINT: '', TRACES_ENDPOINT: ' ', HEADERS: 'a=b' })).toEqual([])
  expect(await exporters({ ENDPOINT: 'http://x:4318', PROTOCOL: '', TIMEOUT: '' })).toMatchObject([
    { timeoutMs: 5000 },
  ])
})

describe('a signal of its own', () => {
  test('goes to its endpoint as it is, and the others to the common one', async () => {
    const { config } = await valid({
      variables: otel({ ENDPOINT: 'http://all:4318/base', TRACES_ENDPOINT: 'http://traces:9000/custom?x=1' }),
    })
    const [all, traces] = config.exporters
    expect(config.exporters.map(({ id }) => id)).toEqual(['otlphttp', 'otlphttp/traces'])
    if (all.type !== 'otlphttp' || traces.type !== 'otlphttp') throw new Error('HTTP was expected')
    expect(signalUrl(all, 'metrics')).toBe('http://all:4318/base/v1/metrics')
    expect(signalUrl(traces, 'traces')).toBe('http://traces:9000/custom?x=1')
    const { pipelines } = config.service
    expect(
      [pipelines.traces, pipelines.metrics, pipelines.logs].map(pipeline => pipeline?.exporters),
    ).toEqual([['otlphttp/traces'], ['otlphttp'], ['otlphttp']])
  })

  test('without a path goes to the root, as the specification says', async () => {
    const [traces] = await exporters({ TRACES_ENDPOINT: 'http://t:4318' })
    expect(traces.type === 'otlphttp' && signalUrl(traces, 'traces')).toBe('http://t:4318/')
  })

  test('leaves the others with nowhere to go, and the common exporter away when no signal is left for it', async () => {
    const { config } = await valid({ variables: otel({ LOGS_ENDPOINT: 'http://l:4317' }) })
    expect(config.exporters.map(({ id }) => id)).toEqual(['otlp/logs'])
    expect(config.service.pipelines).toMatchObject({
      traces: { exporters: [] },
      metrics: { exporters: [] },
      logs: { exporters: ['otlp/logs'] },
    })
    const three = await exporters({
      ENDPOINT: 'http://all',
      TRACES_ENDPOINT: 'http://a',
      METRICS_ENDPOINT: 'http://b',
      LOGS_ENDPOINT: 'http://c',
    })
    expect(three.map(({ id }) => id)).toEqual(['otlphttp/traces', 'otlphttp/metrics', 'otlphttp/logs'])
  })

  test.each([
    ['PROTOCOL', 'grpc', { type: 'otlp' }],
    ['HEADERS', 'a=b', { headers: { a: 'b' } }],
    ['COMPRESSION', 'none', { compression: 'none' }],
    ['TIMEOUT', '7', { timeoutMs: 7 }],
    ['CERTIFICATE', '/ca', { tls: { caFile: '/ca' } }],
  ])('may differ in %s alone, and keeps the common base URL', async (suffix, value, expected) => {
    const { config } = await valid({
      variables: otel({ ENDPOINT: 'http://x:4318', [`METRICS_${suffix}`]: value }),
    })
    const metrics = config.exporters.find(({ id }) => id.endsWith('/metrics'))
    expect(metrics).toMatchObject({ ...expected, endpoint: { url: 'http://x:4318' }, exact: false })
  })
})

test('of two variables the one of the signal counts', async () => {
  const common = {
    ENDPOINT: 'http://x:4318',
    PROTOCOL: 'grpc',
    COMPRESSION: 'gzip',
    TIMEOUT: '1',
    HEADERS: 'a=1',
  }
  const own = {
    LOGS_PROTOCOL: 'http/json',
    LOGS_COMPRESSION: 'none',
    LOGS_TIMEOUT: '2',
    LOGS_HEADERS: 'b=2',
  }
  expect((await exporters({ ...common, ...own })).at(-1)).toMatchObject({
    id: 'otlphttp/logs',
    encoding: 'json',
    compression: 'none',
    timeoutMs: 2,
    headers: { b: '2' },
  })
})

describe('beside a file', () => {
  const credentials = otel({
    ENDPOINT: 'http://env:4318',
    HEADERS: 'api-key=hunter2',
    CLIENT_CERTIFICATE: '/c',
    CLIENT_KEY: '/k',
    TIMEOUT: '9',
  })

  test('a file that names exporters wins, and its destinations never get credentials meant for another', async () => {
    const { config } = await valid({
      files: 'exporters: {otlphttp: {endpoint: http://file:4318}}',
      variables: credentials,
    })
    expect(config.exporters).toMatchObject([
      { endpoint: { url: 'http://file:4318' }, headers: {}, tls: { certFile: null }, timeoutMs: 5000 },
    ])
  })

  test('an exporter without an address takes the one of the variables with all that belongs to it', async () => {
    const { config } = await valid({
      files: 'exporters: {otlphttp/x: {timeout: 3s, headers: {mine: 1}}, debug: }',
      variables: credentials,
    })
    expect(config.exporters[0]).toMatchObject({
      id: 'otlphttp/x',
      endpoint: { url: 'http://env:4318' },
      headers: { mine: '1', 'api-key': 'hunter2' },
      tls: { certFile: '/c' },
      timeoutMs: 3000,
    })
  })

  test('a file without exporters leaves the variables in force', async () => {
    const { config } = await valid({
      files: 'processors: {otlier: {window: 20s}}\nexporters:',
      variables: otel({ ENDPOINT: 'http://env:4317' }),
    })
    expect(config.exporters.map(({ id }) => id)).toEqual(['otlp'])
    const traces = await valid({
      files: 'service: {pipelines: {traces: }}',
      variables: otel({ ENDPOINT: 'http://env:4317' }),
    })
    expect(traces.config.service.pipelines).toMatchObject({ traces: { exporters: ['otlp'] }, metrics: null })
  })

  test('compression overrules the file, and only --set overrules compression', async () => {
    const files =
      'exporters: {otlp: {endpoint: x:1, compression: gzip}, otlphttp: {endpoint: http://x}, debug: }'
    const variables = otel({ COMPRESSION: 'none' })
    const { config } = await valid({ files, variables })
    expect(config.exporters).toMatchObject([
      { compression: 'none' },
      { compression: 'none' },
      { type: 'debug' },
    ])
    const set = await valid({ files, variables, set: ['exporters.otlp.compression=gzip'] })
    expect(set.config.exporters[0]).toMatchObject({ compression: 'gzip' })
  })

  test('OTLIER_DIRECTORY is the default of directory, and no more', async () => {
    const variables = { OTLIER_DIRECTORY: '/from/variable' }
    expect((await valid({ variables })).config.directory).toBe('/from/variable')
    expect((await valid({ variables, files: 'directory: none' })).config.directory).toBe('none')
    expect((await valid({ variables: { OTLIER_DIRECTORY: '' } })).config.directory).toBe('auto')
  })
})
