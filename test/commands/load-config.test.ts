//! The laws of reading a configuration: where errors are, what is laid over what, and what variables become.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are part of the configuration's syntax
import { describe, expect, test } from 'vitest'
import { starterFile } from '../../src/commands/describe-settings.ts'
import { chooseDirectory, directoryCandidates } from '../../src/commands/load-config.ts'
import { SETTINGS } from '../../src/config.ts'
import { int, seeded } from '../kit/random.ts'
import { complaints, GIB, load, shownAt, valid } from '../kit/settings.ts'

describe('what is wrong', () => {
  test('is told all at once, in the order of the file, each with line, column, path and the nearest known key', async () => {
    const files = [
      'recievers:',
      'service:',
      '  logs:',
      '    levle: info',
      '  metrics: {endpoint: x}',
      'processors:',
      '  otlier:',
      '    Budget: 1/day',
    ].join('\n')
    expect(complaints(await load({ files }))).toEqual([
      expect.stringMatching(/^otlier\.yaml:1:1: recievers: unknown key; did you mean receivers\?/),
      expect.stringMatching(
        /^otlier\.yaml:4:5: service\.logs\.levle: unknown key; did you mean level\? \(known here: level\)/,
      ),
      expect.stringMatching(/^otlier\.yaml:5:23: service\.metrics\.endpoint: "x" has no port/),
      expect.stringMatching(
        /^otlier\.yaml:8:5: processors\.otlier\.Budget: unknown key; did you mean budget\?/,
      ),
    ])
  })

  test('a key in the wrong place is shown its place', async () => {
    expect(complaints(await load({ files: 'max_series: 5' }))[0]).toContain(
      'it belongs under processors.otlier',
    )
  })

  test('what people bring from the Collector is answered', async () => {
    const files =
      'extensions: {health_check: }\nprocessors: {batch: }\nservice:\n  telemetry: {}\n  pipelines:\n    traces: {processors: [memory_limiter, batch, otlier], receivers: [otlp, jaeger]}'
    const said = complaints(await load({ files })).join('\n')
    for (const hint of [
      /service\.health/,
      /merge requests by themselves/,
      /service\.metrics and service\.logs/,
      /memory_limit_mib does its work/,
      /"jaeger" is no receiver/,
    ]) {
      expect(said).toMatch(hint)
    }
  })

  test('an object that every JavaScript object has is no setting', async () => {
    const files =
      'constructor: {}\n__proto__: {}\nexporters:\n  toString: {}\nservice: {pipelines: {traces: {processors: [valueOf]}}}'
    expect(complaints(await load({ files }))).toHaveLength(4)
  })

  test('a file of another program does not print for pages', async () => {
    const files = Array.from({ length: 500 }, (_, index) => `key${index}: 1`).join('\n')
    expect(complaints(await load({ files })).length).toBeLessThanOrEqual(50)
  })

  test.each([
    ['a tab', 'service:\n\tlogs: {}', /otlier\.yaml:2:1: a tab is used to indent/],
    ['a key twice', 'directory: a\ndirectory: b', /otlier\.yaml:2:1: this key stands here twice/],
    ['broken YAML', 'service: {logs', /otlier\.yaml:1:\d+: is not readable as YAML/],
    ['two documents', 'directory: a\n---\ndirectory: b', /otlier\.yaml:2:1: is not readable as YAML/],
    ['a list at the top', '- a', /settings are expected here/],
    ['a word at the top', 'hello', /settings are expected here/],
    ['a key that is a list', '[a]: b', /a key is a single word/],
    ['an alias to nothing', 'directory: *x', /1:12: directory: \*x stands for nothing/],
    ['too deep', `${'['.repeat(40)}${']'.repeat(40)}`, /nested deeper/],
    ['too large', `# ${'x'.repeat(2 ** 20)}`, /larger than 1 MiB/],
  ])('%s is told with its place', async (_, files, expected) => {
    const said = complaints(await load({ files }))
    expect(said.length).toBeGreaterThan(0)
    expect(said.join('\n')).toMatch(expected)
  })

  test('aliases that multiply are cut short', async () => {
    const laughs = Array.from(
      { length: 12 },
      (_, level) =>
        `k${level}: &a${level} [${Array(10)
          .fill(level === 0 ? 'ha' : `*a${level - 1}`)
          .join(', ')}]`,
    )
    expect(complaints(await load({ files: laughs.join('\n') })).join('\n')).toMatch(
      /are aliases multiplied\?/,
    )
  })

  test('a file that is missing or no text is told by its name', async () => {
    const settled = await load({ files: { 'bad.yaml': new Uint8Array([0xff, 0xfe, 0x00]) } })
    expect(complaints(settled)).toEqual(['bad.yaml: is not UTF-8 text'])
    const missing = { 'gone.yaml': undefined as unknown as string }
    expect(complaints(await load({ files: missing }))).toEqual(['gone.yaml: there is no such file'])
  })
})

describe('what is laid over what', () => {
  test('later files over earlier ones, key by key; a list replaces a list', async () => {
    const { shown } = await valid({
      files: {
        'a.yaml':
          'directory: /a\nexporters:\n  otlp: {endpoint: a:1, timeout: 9s, headers: {one: 1}}\nreceivers: {otlp: {forward_headers: [a, b]}}',
        'b.yaml':
          'directory: /b\nexporters:\n  otlp: {endpoint: b:1, headers: {two: 2}}\n  debug:\nreceivers: {otlp: {forward_headers: [c]}}',
      },
    })
    expect(shownAt(shown, 'directory')).toBe('/b')
    expect(shownAt(shown, 'exporters.otlp')).toMatchObject({
      endpoint: 'b:1',
      timeout: '9s',
      headers: { one: '****', two: '****' },
    })
    expect(Object.keys(shown['exporters'] as object)).toEqual(['otlp', 'debug'])
    expect(shownAt(shown, 'receivers.otlp.forward_headers')).toEqual(['c'])
  })

  test('an empty section means defaults and deletes nothing', async () => {
    const first = 'processors: {otlier: {window: 20s}}\nexporters: {otlp: {endpoint: a:1}}'
    const second = Object.keys(SETTINGS.fields)
      .map(key => `${key}:`)
      .join('\n')
    const alone = await valid({ files: first })
    const both = await valid({
      files: { 'a.yaml': first, 'b.yaml': second, 'c.yaml': '', 'd.yaml': '# nothing' },
    })
    expect(both.shown).toEqual(alone.shown)
    expect((await valid({ files: second })).shown).toEqual((await valid()).shown)
  })

  test('--set over every file, typed as in a file', async () => {
    const { shown, config } = await valid({
      files: 'processors: {otlier: {window: 20s}}\nexporters: {otlp/x: {endpoint: a:1}}',
      set: [
        'processors.otlier.window=30s',
        'exporters.otlp/x.headers.a.b=c=d',
        'service.pipelines.logs.exporters=[]',
        'directory=none',
        'shutdown_timeout=',
      ],
    })
    expect(shownAt(shown, 'processors.otlier.window')).toBe('30s')
    expect(config.exporters[0]).toMatchObject({ headers: { 'a.b': 'c=d' } })
    expect(config.service.pipelines.logs?.exporters).toEqual([])
    expect(config.directory).toBe('none')
    expect(config.shutdownTimeoutMs).toBe(20_000)
  })

  test.each([
    ['service.logs.level', /^--set service\.logs\.level: write it as --set key=value/],
    ['=x', /write it as --set key=value/],
    [
      'service.logs.levl=x',
      /^--set service\.logs\.levl: service\.logs\.levl: unknown key; did you mean level/,
    ],
    ['exporters.otlp.headers.a b=hunter2', /not the name of a header/],
    ['service.logs=info', /settings are expected here/],
    ['a..b=1', /unknown key/],
  ])('--set %s is told without its value', async (set, expected) => {
    const said = complaints(await load({ set: [set], files: 'exporters: {otlp: {endpoint: a:1}}' }))
    expect(said[0]).toMatch(expected)
    expect(said.join('\n')).not.toContain('hunter2')
  })

  test('a file that names protocols or signals chooses them; --set changes one and switches none off', async () => {
    const grpc = await valid({ files: 'receivers: {otlp: {protocols: {grpc: }}}' })
    expect(grpc.config.receivers.otlp.protocols).toMatchObject({
      grpc: { endpoint: { port: 4317 } },
      http: null,
    })
    const set = await valid({
      set: ['receivers.otlp.protocols.grpc.endpoint=0.0.0.0:1', 'service.pipelines.traces.processors=[]'],
    })
    expect(set.config.receivers.otlp.protocols.http?.endpoint?.port).toBe(4318)
    expect(set.config.service.pipelines.metrics).not.toBeNull()
    const traces = await valid({ files: 'service: {pipelines: {traces: }}' })
    expect(traces.config.service.pipelines).toMatchObject({
      traces: { receivers: ['otlp'] },
      metrics: null,
      logs: null,
    })
    const both = await valid({
      files: 'receivers: {otlp: {protocols: {grpc: }}}',
      set: ['receivers.otlp.protocols.http.endpoint=0.0.0.0:1'],
    })
    expect(both.config.receivers.otlp.protocols.http?.endpoint?.port).toBe(1)
  })

  test('JSON is read as YAML is, with places', async () => {
    const json = JSON.stringify(
      {
        exporters: { otlphttp: { endpoint: 'http://x:1', timeout: '1s', headers: { a: 'ü\u2028"\\' } } },
        memory_limit_mib: 128,
      },
      null,
      '\t',
    )
    const { config } = await valid({ files: { 'otlier.json': json } })
    expect(config.exporters[0]).toMatchObject({ timeoutMs: 1000, headers: { a: 'ü\u2028"\\' } })
    expect(config.memoryLimitBytes).toBe(128 * 2 ** 20)
    expect(
      complaints(await load({ files: { 'a.json': '{\n  "directory": "x",\n  "directori": "y"\n}' } }))[0],
    ).toMatch(/^a\.json:3:3: directori/)
  })

  test('references to variables are replaced in values, and typed by the setting', async () => {
    const variables = { WINDOW: '30s', SERIES: '500', TOKEN: 'a$b: #c', HOST: 'x', EMPTY: '', OCTAL: '0123' }
    const files = [
      'processors: {otlier: {}}',
      'memory_limit_mib: ${env:EMPTY}',
      'exporters:',
      '  otlp:',
      '    endpoint: http://${env:HOST}:4317 # ${env:NOT_IN_COMMENTS}',
      '    headers:',
      '      authorization: Bearer ${env:TOKEN}',
      '      x-org: ${OCTAL}',
      '      literal: $${env:TOKEN}',
      '    timeout: ${env:NONE:-7s}',
    ].join('\n')
    const { config } = await valid({
      files,
      variables,
      set: ['processors.otlier.max_series=${env:SERIES}', 'processors.otlier.window=${WINDOW}'],
    })
    expect(config.processors.otlier).toMatchObject({ maxSeries: 500, windowMs: 30_000 })
    expect(config.memoryLimitBytes).toBe(GIB)
    expect(config.exporters[0]).toMatchObject({
      timeoutMs: 7000,
      endpoint: { url: 'http://x:4317' },
      headers: { authorization: 'Bearer a$b: #c', 'x-org': '0123', literal: '${env:TOKEN}' },
    })
    const bad = await load({
      files: 'exporters: {otlp: {endpoint: "${env:GONE}"}}\nmemory_limit_mib: ${env:OCTAL}',
      variables,
    })
    expect(complaints(bad)).toEqual([
      expect.stringMatching(
        /^otlier\.yaml:1:30: exporters\.otlp\.endpoint: the environment variable GONE is not set/,
      ),
      expect.stringMatching(/^otlier\.yaml:2:19: memory_limit_mib: 0123 could be meant in octal/),
    ])
  })
})

describe('the directory', () => {
  const choose = async (
    directory: string,
    usable: readonly string[],
    variables: Record<string, string> = {},
  ) => {
    const { config } = await valid({ set: [`directory=${directory}`] })
    const asked: string[] = []
    const chosen = await chooseDirectory(config, variables, {
      usable: async path => {
        asked.push(path)
        return usable.includes(path)
      },
    })
    return { ...chosen, asked }
  }

  test('is the first that can be written to, and nothing else is touched', async () => {
    const state = { XDG_STATE_HOME: '/state' }
    expect(await choose('auto', ['/var/lib/otlier', '/state/otlier'], state)).toEqual({
      path: '/var/lib/otlier',
      warning: null,
      asked: ['/var/lib/otlier'],
    })
    expect(await choose('auto', ['/state/otlier'], state)).toMatchObject({
      path: '/state/otlier',
      warning: null,
    })
    expect(directoryCandidates({ XDG_STATE_HOME: 'relative' })[1]).toMatch(/^\/.*\/\.local\/state\/otlier$/)
  })

  test('that was named is the only one asked; where none will do, one warning says what that costs', async () => {
    expect(await choose('/srv/x', ['/srv/x', '/var/lib/otlier'])).toEqual({
      path: '/srv/x',
      warning: null,
      asked: ['/srv/x'],
    })
    const none = await choose('/srv/x', ['/var/lib/otlier'])
    expect(none).toMatchObject({ path: null, asked: ['/srv/x'] })
    expect(none.warning).toMatch(/\/srv\/x cannot be written to: .*memory only/)
  })

  test('none is none, without a word', async () => {
    expect(await choose('none', ['/var/lib/otlier'])).toEqual({ path: null, warning: null, asked: [] })
  })
})

test('whatever is written, loading ends with a configuration or with complaints', async () => {
  const random = seeded(7)
  const pieces = [
    '${',
    '}',
    ':',
    ' ',
    '\n',
    '\t',
    '-',
    '[',
    ']',
    '{',
    '*a',
    '&a ',
    '"',
    "'",
    '!!map ',
    '<<',
    '0',
    '~',
    '|',
    '#',
    '\u0000',
    '\ud800',
    '? ',
    '%',
    '---\n',
    'exporters',
  ]
  const whole = `${starterFile()}exporters:\n  otlp/a: {endpoint: a:1, headers: {x: y}}\n`
  for (let round = 0; round < 300; round++) {
    let files = whole
    for (let cut = 0; cut <= int(random, 3); cut++) {
      const at = int(random, files.length)
      files = files.slice(0, at) + pieces[int(random, pieces.length)] + files.slice(at + int(random, 20))
    }
    const { config, problems } = await load({ files })
    expect(config.service.logs.level, `round ${round}`).toBeTypeOf('string')
    expect(Array.isArray(problems)).toBe(true)
  }
})
