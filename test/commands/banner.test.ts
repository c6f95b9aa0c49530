//! The laws of what a person reads at the start.
import { describe, expect, test } from 'vitest'
import { banner, commandBeside, explainBind, type Started } from '../../src/commands/banner.ts'
import { listeners } from '../../src/commands/settle-config.ts'
import { load, valid, type Written } from '../kit/settings.ts'

async function print(written: Written, started: Partial<Started> = {}) {
  const { config } = await load(written)
  const listening = Object.fromEntries(listeners(config).map(({ path, address }) => [path, address]))
  return banner(config, { listening, directory: '/var/lib/otlier', notes: {}, ...started }, '1.2.3')
}

describe('the banner', () => {
  test('says where everything is', async () => {
    const text = await print({
      files:
        'exporters: {otlp/jaeger: {endpoint: http://jaeger:4317}, otlphttp: {endpoint: https://me:hunter2@x}}\nservice: {pipelines: {traces: , logs: {exporters: [otlphttp]}}}',
    })
    for (const part of [
      'Otlier 1.2.3',
      'gRPC  http://127.0.0.1:4317',
      'HTTP  http://127.0.0.1:4318',
      'otlp/jaeger  http://jaeger:4317  (traces)',
      'otlphttp  https://****@x  (traces, logs)',
      '/var/lib/otlier',
      'http://127.0.0.1:8888/metrics',
      'http://127.0.0.1:13133/ready',
      'export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318',
    ]) {
      expect(text).toContain(part)
    }
    expect(text).not.toContain('hunter2')
    expect(text).not.toContain('nowhere')
  })

  test('without a destination it says so, and how to get one', async () => {
    const text = await print({})
    expect(text).toContain('nowhere: nothing is forwarded')
    expect(text).toContain('OTEL_EXPORTER_OTLP_ENDPOINT, or name exporters')
  })

  test('a signal that goes nowhere while others go somewhere is named', async () => {
    expect(await print({ variables: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://x:4317' } })).toContain(
      'nowhere  (metrics, logs: taken and let go)',
    )
  })

  test('what is to be said of a destination stands under it', async () => {
    const text = await print(
      { files: 'exporters: {otlp: {endpoint: localhost:4317}}' },
      { notes: { otlp: 'not used: it leads back here' } },
    )
    expect(text).toMatch(/otlp {2}localhost:4317.*\n.*not used: it leads back here/)
  })

  test('names the real port, all interfaces, TLS, and gRPC where there is no HTTP', async () => {
    const files =
      'receivers: {otlp: {protocols: {grpc: {endpoint: 0.0.0.0:0, tls: {cert_file: c, key_file: k}}}}}'
    const text = await print(
      { files },
      {
        listening: { 'receivers.otlp.protocols.grpc.endpoint': { host: '0.0.0.0', port: 5555 } },
        directory: null,
      },
    )
    expect(text).toContain('gRPC  https://0.0.0.0:5555  (all interfaces)')
    expect(text).toContain(
      'OTEL_EXPORTER_OTLP_ENDPOINT=https://localhost:5555 OTEL_EXPORTER_OTLP_PROTOCOL=grpc',
    )
    expect(text).toContain('memory only')
    expect(text).not.toContain('HTTP  ')
    expect(text).not.toContain('/metrics')
  })
})

describe('a port that cannot be had', () => {
  const failure = (code: string, port: number, address: string, syscall = 'listen') =>
    Object.assign(new Error(code), { code, port, address, syscall })

  test.each([
    'receivers.otlp.protocols.grpc.endpoint',
    'receivers.otlp.protocols.http.endpoint',
    'service.metrics.endpoint',
    'service.health.endpoint',
  ])('%s is named with who usually holds it and the way out', async path => {
    const { config } = await valid()
    const { address } = listeners(config).find(listener => listener.path === path)!
    const text = explainBind(
      failure('EADDRINUSE', address.port, address.host),
      config,
      'otlier --port-offset 10000 --set directory=none',
    )
    for (const part of [
      `127.0.0.1:${address.port} (${path})`,
      'a Collector'.slice(2),
      'Jaeger',
      'another Otlier',
      '  otlier --port-offset 10000 --set directory=none\n',
      `--set ${path}=127.0.0.1:PORT`,
    ]) {
      expect(text).toContain(part)
    }
  })

  test('other reasons are told in words, and other errors are not ours', async () => {
    const { config } = await valid({ set: ['service.health.endpoint=10.9.9.9:80'] })
    expect(explainBind(failure('EACCES', 80, '10.9.9.9'), config, '')).toMatch(
      /10\.9\.9\.9:80 \(service\.health\.endpoint\): .*privileges/,
    )
    expect(explainBind(failure('EADDRNOTAVAIL', 80, '10.9.9.9'), config, '')).toMatch(/no such address/)
    expect(explainBind(failure('ECONNRESET', 80, '10.9.9.9', 'read'), config, '')).toBe(null)
    expect(explainBind(new TypeError('a bug'), config, '')).toBe(null)
  })

  test.each([
    [[], 'otlier --port-offset 10000 --set directory=none'],
    [['--config', 'my file.yaml'], "otlier --config 'my file.yaml' --port-offset 10000 --set directory=none"],
    [['--port-offset', '10000', '--set', 'directory=/x'], 'otlier --port-offset 20000 --set directory=none'],
    [
      ['--port-offset=5', '--set=directory=/x', '--set', 'service.logs.level=debug'],
      'otlier --set service.logs.level=debug --port-offset 10005 --set directory=none',
    ],
    [
      ['--set', 'exporters.otlp.headers.key=hunter2'],
      'otlier --set exporters.otlp.headers.key=... --port-offset 10000 --set directory=none',
    ],
    [
      ['--set', 'exporters={otlp: {headers: {key: hunter2}}}', '--set=exporters.otlp.headers={key: hunter2}'],
      'otlier --set exporters=... --set=exporters.otlp.headers=... --port-offset 10000 --set directory=none',
    ],
    [
      ['--set', 'exporters.otlphttp.endpoint=http://me:hunter2@x'],
      'otlier --set exporters.otlphttp.endpoint=http://...@x --port-offset 10000 --set directory=none',
    ],
    [["--config=it's"], "otlier '--config=it'\\''s' --port-offset 10000 --set directory=none"],
  ])('beside %j the command is %s', (args, command) => {
    expect(commandBeside(args, false)).toBe(command)
    expect(commandBeside(args, true)).toBe(command.replace(/^otlier/, 'npm start --'))
  })
})
