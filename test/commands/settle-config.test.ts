//! The laws of what holds between settings, exporters above all.
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { signalUrl } from '../../src/commands/settle-config.ts'
import { complaints, load, shownAt, valid } from '../kit/settings.ts'

describe('an exporter', () => {
  const exporter = (line: string, type = 'otlphttp') =>
    `exporters:\n  ${type}:\n    endpoint: http://b:4318\n    ${line}`

  test.each([
    ['headers: {a: 0123, b: "x y", c: "", d: true}'],
    ['timeout: 250ms'],
    ['compression: none'],
    ['encoding: json'],
    ['required: true'],
    [
      'retry_on_failure: {enabled: false, initial_interval: 5s, multiplier: 2.5, max_interval: 1m, max_elapsed_time: 0}',
    ],
    [
      'sending_queue: {storage: memory, size_mib: 1, when_full: drop_oldest, num_consumers: 1, acknowledge: memory}',
    ],
    ['sending_queue: {acknowledge: delivered}'],
    ['sending_queue: {storage: disk, acknowledge: durable}'],
    ['sending_queue: {storage: disk, acknowledge: memory}'],
    ['sending_queue: {storage: disk, acknowledge: delivered}'],
    [
      'tls: {ca_file: /ca.pem, cert_file: /c.pem, key_file: /k.pem, server_name_override: x, insecure_skip_verify: true}',
    ],
  ])('takes %s', async line => {
    await valid({ files: exporter(line) })
  })

  test.each([
    ['headers: [a]', /names with values/],
    ['headers: {"a b": c}', /"a b" is not the name/],
    ['headers: {host: c}', /set by Otlier/],
    ['headers: {a: "hunter2\\r\\nx: y"}', /control character/],
    ['headers: {a: ~}', /has no value/],
    ['headers: {a: [hunter2]}', /has no value/],
    ['compression: zip', /not one of gzip, none/],
    ['sending_queue: {storage: tape}', /not one of memory, disk/],
    ['sending_queue: {acknowledge: durable}', /durable needs a queue on disk; add storage: disk/],
    ['sending_queue: {queue_size: 1000}', /size_mib/],
    ['retry_on_failure: {multiplier: 0.5}', /from 1 to 10/],
    ['tls: {key_file: /k.pem}', /key_file is given without cert_file/],
    ['tls: true', /settings are expected here/],
  ])('refuses %s, and shows no secret', async (line, expected) => {
    const said = complaints(await load({ files: exporter(line) }))
    expect(said).toHaveLength(1)
    expect(said[0]).toMatch(expected)
    expect(said[0]).not.toContain('hunter2')
  })

  test('must have an address', async () => {
    for (const type of ['otlp', 'otlphttp/x']) {
      const said = complaints(await load({ files: `exporters:\n  ${type}:` }))
      expect(said).toEqual([
        expect.stringMatching(
          `^otlier.yaml:2:3: exporters.${type}.endpoint: has no address; write endpoint: `,
        ),
      ])
    }
  })

  test('of an unknown type is told with the type that was meant', async () => {
    const files =
      'exporters:\n  otlphtp: {endpoint: http://x}\n  jaeger:\n  "otlp/": {endpoint: x:1}\n  debug/a b:'
    expect(complaints(await load({ files }))).toEqual([
      expect.stringContaining('otlier.yaml:2:3: exporters.otlphtp: unknown type; did you mean otlphttp?'),
      expect.stringContaining('exporters.jaeger: unknown type; Jaeger takes OTLP'),
      expect.stringContaining('exporters.otlp/: a name after the slash'),
      expect.stringContaining('exporters.debug/a b: a name after the slash'),
    ])
  })

  test('is plain text where the address or `insecure` says so, and TLS otherwise', async () => {
    const plain = async (endpoint: string, insecure: boolean) => {
      const { config } = await valid({
        files: `exporters: {otlp: {endpoint: "${endpoint}", tls: {insecure: ${insecure}}}}`,
      })
      const [exporter] = config.exporters
      return exporter.type === 'otlp' && exporter.plain
    }
    expect(await plain('x:4317', false)).toBe(false)
    expect(await plain('x:4317', true)).toBe(true)
    expect(await plain('http://x:4317', false)).toBe(true)
    expect(await plain('https://x:4317', true)).toBe(false)
  })

  test('sends each signal to the base URL with its path added', async () => {
    const url = async (endpoint: string) => {
      const { config } = await valid({ files: `exporters: {otlphttp: {endpoint: "${endpoint}"}}` })
      const [exporter] = config.exporters
      return exporter.type === 'otlphttp' ? signalUrl(exporter, 'traces') : ''
    }
    expect(await url('http://c:4318')).toBe('http://c:4318/v1/traces')
    expect(await url('http://c:4318/')).toBe('http://c:4318/v1/traces')
    expect(await url('http://c/mycollector/')).toBe('http://c/mycollector/v1/traces')
    expect(await url('https://c/otlp?key=1')).toBe('https://c/otlp/v1/traces?key=1')
  })

  test('has a queue of the size, and an acknowledgement, that fit where it is', async () => {
    const settled = async (line: string) => {
      const { config, shown } = await valid({ files: exporter(`sending_queue: {${line}}`) })
      const [{ type, ...first }] = config.exporters
      const queue = type === 'debug' || !('sendingQueue' in first) ? null : first.sendingQueue
      const at = 'exporters.otlphttp.sending_queue'
      expect(shownAt(shown, `${at}.size_mib`)).toBe((queue?.sizeBytes ?? 0) / 2 ** 20)
      expect(shownAt(shown, `${at}.acknowledge`)).toBe(queue?.acknowledge)
      return [queue?.sizeBytes, queue?.acknowledge]
    }
    expect(await settled('storage: memory')).toEqual([64 * 2 ** 20, 'memory'])
    expect(await settled('storage: disk')).toEqual([2048 * 2 ** 20, 'durable'])
    expect(await settled('storage: disk, size_mib: 10, acknowledge: memory')).toEqual([
      10 * 2 ** 20,
      'memory',
    ])
  })

  test('cannot have a queue on disk without a directory, and the complaint stands where the queue is written', async () => {
    const said = complaints(
      await load({ files: `directory: none\n${exporter('sending_queue: {storage: disk}')}` }),
    )
    expect(said).toEqual([
      expect.stringMatching(/^otlier.yaml:5:30: .*sending_queue.storage: a queue on disk needs a directory/),
    ])
  })

  test('refuses senders when its queue is full if it is alone or required, and else drops what is newest', async () => {
    const whenFull = async (files: string) => {
      const { config, shown } = await valid({ files })
      const queues = config.exporters.map(each => (each.type === 'debug' ? null : each.sendingQueue.whenFull))
      expect(
        config.exporters.map(each => shownAt(shown, `exporters.${each.id}.sending_queue.when_full`) ?? null),
      ).toEqual(queues)
      return queues
    }
    const one = 'exporters:\n  otlp/a: {endpoint: a:1}\n'
    expect(await whenFull(one)).toEqual(['refuse'])
    expect(await whenFull(`${one}  debug:`)).toEqual(['refuse', null])
    expect(await whenFull(`${one}  otlp/b: {endpoint: b:1, required: true}`)).toEqual([
      'drop_newest',
      'refuse',
    ])
    expect(
      await whenFull(`${one}  otlp/b: {endpoint: b:1, sending_queue: {when_full: drop_oldest}}`),
    ).toEqual(['drop_newest', 'drop_oldest'])
    const contrary = await load({
      files: `${one}  otlp/b: {endpoint: b:1, required: true, sending_queue: {when_full: drop_newest}}`,
    })
    expect(complaints(contrary)).toEqual([expect.stringContaining('required: true refuses senders')])
  })
})

describe('what holds between settings', () => {
  test('a pipeline sends only to exporters that are there', async () => {
    const files =
      'exporters: {otlp/jaeger: {endpoint: j:1}, debug: }\nservice:\n  pipelines:\n    traces:\n      exporters: [otlp/jager, debug, tempo]'
    expect(complaints(await load({ files })).filter(line => !line.includes('warning'))).toEqual([
      expect.stringMatching(
        /^otlier\.yaml:5:19: service\.pipelines\.traces\.exporters: exporters\.otlp\/jager is not defined; did you mean otlp\/jaeger\?/,
      ),
      expect.stringMatching(
        /^otlier\.yaml:5:38: .*exporters\.tempo is not defined; defined are otlp\/jaeger, debug$/,
      ),
    ])
  })

  test('an exporter that no pipeline uses is a warning, not an error', async () => {
    const { problems } = await load({
      files:
        'exporters: {otlp: {endpoint: j:1}, debug: }\nservice: {pipelines: {traces: {exporters: [debug]}}}',
    })
    expect(problems).toMatchObject([{ severity: 'warning', path: 'exporters.otlp' }])
  })

  test('a pipeline names every exporter where it names none', async () => {
    const { config } = await valid({ files: 'exporters: {otlp: {endpoint: j:1}, debug: }' })
    for (const pipeline of Object.values(config.service.pipelines))
      expect(pipeline?.exporters).toEqual(['otlp', 'debug'])
  })

  test('a pipeline without a receiver is refused', async () => {
    expect(complaints(await load({ files: 'service: {pipelines: {logs: {receivers: []}}}' }))[0]).toMatch(
      /leave the whole pipeline out/,
    )
  })

  test('queues in memory fit below the memory limit: by default by themselves, and else it is said', async () => {
    const files = (limit: number, sizes: readonly (number | null)[]) =>
      `memory_limit_mib: ${limit}\nexporters:\n${sizes
        .map(
          (size, at) =>
            `  otlp/e${at}: {endpoint: a:${at + 1}${size === null ? '' : `, sending_queue: {size_mib: ${size}}`}}`,
        )
        .join('\n')}`
    const sizesOf = async (limit: number, count: number) => {
      const { config, shown } = await valid({ files: files(limit, new Array(count).fill(null)) })
      expect(shownAt(shown, 'exporters.otlp/e0.sending_queue.size_mib')).toBeDefined()
      return config.exporters.map(each => (each.type === 'debug' ? 0 : each.sendingQueue.sizeBytes / 2 ** 20))
    }
    expect(await sizesOf(512, 1)).toEqual([64])
    expect(await sizesOf(512, 3)).toEqual([64, 64, 64])
    expect(await sizesOf(300, 3)).toEqual([50, 50, 50])
    expect(await sizesOf(64, 1)).toEqual([32])
    await valid({ files: files(512, [256]) })
    const tight = await load({ files: files(512, [200, 100]) })
    expect(complaints(tight)).toEqual([
      expect.stringMatching(
        /together may hold 300 of 512 MiB .* give size_mib at most 256 in all, or raise memory_limit_mib to 600/,
      ),
    ])
    expect(tight.problems).toMatchObject([{ severity: 'warning' }])
    const impossible = await load({ files: files(512, [600]) })
    expect(complaints(impossible)).toEqual([
      expect.stringMatching(
        /^otlier\.yaml:3:\d+: exporters\.otlp\/e0\.sending_queue\.size_mib: .* may hold 600 MiB, more than memory_limit_mib \(512\)/,
      ),
    ])
    expect(impossible.problems).toMatchObject([{ severity: 'error' }])
  })

  test.each([
    ['127.0.0.1:4317', '127.0.0.1:4317', true],
    ['0.0.0.0:5000', '127.0.0.1:5000', true],
    ['localhost:5000', '127.0.0.1:5000', true],
    ['10.0.0.1:5000', '127.0.0.1:5000', false],
    ['127.0.0.1:0', '127.0.0.1:0', false],
    ['127.0.0.1:5000', '127.0.0.1:5001', false],
  ])('%s and %s listened on at once: refused is %s', async (grpc, health, refused) => {
    const set = [`receivers.otlp.protocols.grpc.endpoint=${grpc}`, `service.health.endpoint=${health}`]
    const said = complaints(await load({ set }))
    expect(said.length).toBe(refused ? 1 : 0)
    if (refused) expect(said[0]).toContain('is already taken by receivers.otlp.protocols.grpc.endpoint')
  })

  test('--port-offset shifts the five ports, written or not, and neither 0 nor where things are sent', async () => {
    const { config, shown } = await valid({
      portOffset: '10000',
      files:
        'exporters: {otlp: {endpoint: x:4317}}\nservice: {metrics: {endpoint: 127.0.0.1:0}, health: {endpoint: 0.0.0.0:5}}',
    })
    expect(config.receivers.otlp.protocols.grpc?.endpoint).toEqual({ host: '127.0.0.1', port: 14_317 })
    expect(config.receivers.otlp.protocols.http?.endpoint?.port).toBe(14_318)
    expect(config.service.metrics.endpoint?.port).toBe(0)
    expect(config.service.health.endpoint).toEqual({ host: '0.0.0.0', port: 10_005 })
    expect(config.service.view.endpoint?.port).toBe(14_319)
    expect(config.exporters[0]).toMatchObject({ endpoint: { port: 4317 } })
    expect(shownAt(shown, 'service.health.endpoint')).toBe('0.0.0.0:10005')
  })

  test.each([
    ['60000', /is 64317, and no port|is 7\d{4}, and no port/],
    ['-5000', /and no port/],
    ['x', /not a whole number/],
    ['1.5', /not a whole number/],
  ])('--port-offset %s is refused', async (portOffset, expected) => {
    expect(complaints(await load({ portOffset })).join('\n')).toMatch(expected)
  })
})

test('what is printed, read again, is the same configuration', async () => {
  const files =
    'exporters: {otlp/a: {endpoint: a:1}, otlphttp: {endpoint: http://b, timeout: 1m30s}, debug: }\nservice: {pipelines: {traces: {exporters: [otlp/a]}, logs: }}\nreceivers: {otlp: {protocols: {http: {endpoint: none}}}}'
  const first = await load({ files })
  const again = await load({ files: stringify(first.shown) })
  expect(again.shown).toEqual(first.shown)
  expect(again.config).toEqual(first.config)
  expect(parse(stringify(first.shown))).toEqual(first.shown)
})
