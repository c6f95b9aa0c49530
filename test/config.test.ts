//! The laws of single settings: what each kind takes, what it says about the rest, and the defaults.
import { describe, expect, test } from 'vitest'
import { pathsOf } from '../src/base/settings.ts'
import { SETTINGS } from '../src/config.ts'
import { complaints, GIB, load, shownAt, valid } from './kit/settings.ts'

/** YAML of one value under a dotted path. */
function under(path: string, value: string): string {
  const steps = path.split('.')
  return steps
    .map((step, depth) => `${'  '.repeat(depth)}${step}:${depth === steps.length - 1 ? ` ${value}` : ''}`)
    .join('\n')
}

/** Every kind of setting: forms that are taken, with what becomes of them; and forms that are not, with what is said. */
const KINDS: Record<string, { path: string; good: [string, unknown][]; bad: [string, RegExp][] }> = {
  duration: {
    path: 'shutdown_timeout',
    good: [
      ['10s', '10s'],
      ['1h', '1h'],
      ['200ms', '200ms'],
      ['30m', '30m'],
      ['1.5s', '1s500ms'],
      ['0', '0s'],
      ['0s', '0s'],
      ['"10s"', '10s'],
      ['1m30s', '1m30s'],
      ['500us', '0.5ms'],
      ['~', '20s'],
      ['', '20s'],
    ],
    bad: [
      ['10', /needs a unit: write 10s/],
      ['10 s', /not a duration/],
      ['10d', /not a duration/],
      ['-1s', /not a duration/],
      ['1h1h1h1h1h1h1h1h', /not a duration/],
      ['2h', /from 0s to 1h/],
      ['[1s]', /not a list/],
      ['{a: 1}', /not a section/],
      ['1e3s', /not a duration/],
    ],
  },
  size: {
    path: 'receivers.otlp.protocols.grpc.max_recv_msg_size_mib',
    good: [
      ['1', 1],
      ['1024', 1024],
      ['null', 64],
    ],
    bad: [
      ['0', /from 1 to 1024/],
      ['1025', /from 1/],
      ['064', /octal; write 64/],
      ['0x40', /not a whole number/],
      ['6.5', /not a whole number/],
      ['"64"', /without quotes/],
      ['64MiB', /not a whole number/],
      ['1e2', /not a whole number/],
      ['-1', /from 1/],
      ['1_000', /not a whole number/],
      ['99999999999999999999', /not a whole number/],
    ],
  },
  count: {
    path: 'processors.otlier.max_series',
    good: [
      ['1', 1],
      ['1000000', 1_000_000],
    ],
    bad: [
      ['0', /from 1/],
      ['many', /not a whole number/],
      ['true', /not a whole number/],
    ],
  },
  switch: {
    path: 'service.metrics.otlp',
    good: [
      ['true', true],
      ['false', false],
      ['', false],
    ],
    bad: [
      ['yes', /neither true nor false/],
      ['on', /neither/],
      ['1', /neither/],
      ['True', /small letters/],
      ['"true"', /without quotes/],
    ],
  },
  choice: {
    path: 'service.logs.level',
    good: [
      ['debug', 'debug'],
      ['"warn"', 'warn'],
    ],
    bad: [
      ['Debug', /not one of debug, info/],
      ['0', /not one of/],
      ['[info]', /not a list/],
    ],
  },
  budget: {
    path: 'processors.otlier.budget',
    good: [['1/day', '1/day']],
    bad: [
      ['0/day', /cannot be kept/],
      ['0', /not a budget/],
      ['1', /write it as 1\/day/],
      ['1/month', /not a budget/],
      ['-1/day', /not a budget/],
      ['1001/day', /at most 1000/],
    ],
  },
  address: {
    path: 'service.health.endpoint',
    good: [
      ['0.0.0.0:13133', '0.0.0.0:13133'],
      [':13133', '[::]:13133'],
      ['"[::1]:80"', '[::1]:80'],
      ['none', 'none'],
      ['localhost:0', 'localhost:0'],
    ],
    bad: [
      ['13133', /no port/],
      ['http://localhost:13133', /has a scheme/],
      ['localhost:70000', /not a port/],
      ['""', /is empty/],
    ],
  },
  text: {
    path: 'directory',
    good: [
      ['/srv/otlier', '/srv/otlier'],
      ['0123', '0123'],
      ['1e3', '1e3'],
      ['yes', 'yes'],
      ['none', 'none'],
      ['"a b"', 'a b'],
    ],
    bad: [
      ['""', /is empty/],
      ['"a\\nb"', /control character/],
      ['[a]', /not a list/],
    ],
  },
  list: {
    path: 'receivers.otlp.forward_headers',
    good: [
      ['[X-Scope-OrgID, b]', ['x-scope-orgid', 'b']],
      ['[]', []],
      ['', []],
    ],
    bad: [
      ['X-Scope-OrgID', /a list is expected/],
      ['["a b"]', /not the name of a header/],
      ['[content-type]', /set by Otlier/],
      ['[[a]]', /a word is expected/],
      ['[~]', /a word is expected/],
      ['{a: b}', /a list is expected/],
    ],
  },
  origins: {
    path: 'receivers.otlp.protocols.http.cors.allowed_origins',
    good: [
      ['["https://shop.example", "http://*.x:8080", "*"]', ['https://shop.example', 'http://*.x:8080', '*']],
    ],
    bad: [
      ['[shop.example]', /not an origin/],
      ['["https://x/path"]', /not an origin/],
    ],
  },
}

describe.each(Object.entries(KINDS))('a %s', (_, { path, good, bad }) => {
  test.each(good)(`${path}: %s is taken as %j`, async (written, expected) => {
    const { shown } = await valid({ files: under(path, written) })
    expect(shownAt(shown, path)).toEqual(expected)
  })

  test.each(bad)(`${path}: %s is refused`, async (written, expected) => {
    const [first, ...rest] = complaints(await load({ files: under(path, written) }))
    expect(rest).toEqual([])
    expect(first).toContain(`otlier.yaml:${path.split('.').length}:`)
    expect(first).toContain(`: ${path}: `)
    expect(first).toMatch(expected)
  })
})

describe('without any configuration', () => {
  test('everything has its default', async () => {
    const { config } = await valid()
    expect(config).toMatchObject({
      directory: 'auto',
      shutdownTimeoutMs: 20_000,
      receivers: {
        otlp: {
          forwardHeaders: [],
          protocols: {
            grpc: { endpoint: { host: '127.0.0.1', port: 4317 }, maxRecvMsgSizeBytes: 64 * 2 ** 20 },
            http: { endpoint: { host: '127.0.0.1', port: 4318 } },
          },
        },
      },
      processors: {
        otlier: {
          budgetPerDay: 1,
          windowMs: 10_000,
          allowedLatenessMs: 10_000,
          traceWaitMs: 10_000,
          rebaselineAfterMs: 3_600_000,
          maxSeries: 20_000,
          jaegerWarnings: false,
          compat: { isolationforest: false },
        },
      },
      exporters: [],
      service: {
        metrics: { endpoint: { port: 8888 }, otlp: false },
        health: { endpoint: { port: 13_133 } },
        view: { endpoint: { port: 4319 } },
        logs: { level: 'info' },
      },
    })
  })

  test('an exporter has the defaults of the conventions', async () => {
    const { config } = await valid({ files: 'exporters: {otlp: {endpoint: x:1}}' })
    expect(config.exporters[0]).toMatchObject({
      compression: 'gzip',
      timeoutMs: 5000,
      required: false,
      retryOnFailure: {
        enabled: true,
        initialIntervalMs: 1000,
        multiplier: 1.5,
        maxIntervalMs: 30_000,
        maxElapsedTimeMs: 300_000,
      },
      sendingQueue: { storage: 'memory', sizeBytes: 64 * 2 ** 20, whenFull: 'refuse', acknowledge: 'memory' },
    })
  })

  test.each([
    ['80 % of what the container may use', { totalBytes: 64 * GIB, limitBytes: GIB }, 819],
    ['a quarter of the machine', { totalBytes: 4 * GIB, limitBytes: 0 }, 1024],
    ['a quarter, when nothing limits', { totalBytes: 4 * GIB, limitBytes: 2 ** 63 }, 1024],
    ['at most 2048 MiB', { totalBytes: 64 * GIB, limitBytes: 0 }, 2048],
    ['at least 64 MiB', { totalBytes: GIB, limitBytes: 2 ** 25 }, 64],
  ])('the memory limit is %s', async (_, memory, expected) => {
    expect((await valid({ memory })).shown['memory_limit_mib']).toBe(expected)
    expect((await valid({ memory, files: 'memory_limit_mib: 100' })).shown['memory_limit_mib']).toBe(100)
  })

  test('every setting of the table has a help that is a sentence', () => {
    const sentence = /^.{3,}\.$/
    const walk = (node: { help: string; fields?: object }): string[] => [
      node.help,
      ...Object.values(node.fields ?? {}).flatMap(child => walk(child as { help: string })),
    ]
    for (const help of walk(SETTINGS).slice(1)) expect(help).toMatch(sentence)
    expect(pathsOf(SETTINGS).length).toBeGreaterThan(60)
  })
})
