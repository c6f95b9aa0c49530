//! The laws of the documents: what they tell a person to type exists, what they show is what comes out, and no requirement is forgotten.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { configFlags, readArguments } from '../src/commands/arguments.ts'
import { COMMANDS, type CommandName, isCommand } from '../src/commands/help.ts'
import { markOf } from '../src/flow/annotate.ts'
import { namesOfTests } from './house/names.ts'
import { LAYERS } from './house/rules.ts'
import { GrpcClient } from './kit/client.ts'
import { tracesRequest } from './kit/odd.ts'
import { startService } from './kit/otlier.ts'
import { recordedPlanes, spanAt } from './kit/planes.ts'
import { complaints, load } from './kit/settings.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const exists = (path: string) => existsSync(join(root, path))
const README = read('README.md')
const STRUCTURE = read('src/README.md')
const scripts: Record<string, string> = JSON.parse(read('package.json')).scripts

/** The fenced blocks of one language. */
const blocks = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(match => match[1])

/** The cells of every row of every table, code marks taken off. */
const rows = (text: string) =>
  text
    .split('\n')
    .filter(line => line.startsWith('| ') && !line.startsWith('|---'))
    .map(line => line.slice(2, -2).split(' | '))

/** What is typed at somebody else's program, which is not here to be asked. */
const FOREIGN = new Set(['pip', 'opentelemetry-bootstrap', 'opentelemetry-instrument', 'java'])
/** What only stands for a file of the reader's own. */
const OWN_FILES = new Set(['otlier.yaml', 'app.js', 'traces.jsonl.gz'])

/** What is wrong with one line of a shell block; empty where nothing is. */
async function faults(line: string): Promise<string[]> {
  const words = line.split(/\s+/)
  while (/^[A-Z_]+=/.test(words[0] ?? '')) words.shift()
  const [program, ...rest] = words
  const missing = (file: string | undefined) =>
    file === undefined || OWN_FILES.has(file) || exists(file) ? [] : [`${file} does not exist`]
  if (FOREIGN.has(program)) return []
  switch (program) {
    case 'export':
      return rest.every(word => /^OTEL_[A-Z_]+=\S+$/.test(word)) ? [] : ['sets no variable of OpenTelemetry']
    case 'npm': {
      if (rest[0] === 'install') return []
      const name = rest[0] === 'run' ? rest[1] : rest[0]
      if (!Object.hasOwn(scripts, name)) return [`there is no script ${name}`]
      return name === 'start' ? ours(rest) : []
    }
    case 'node':
    case 'node_modules/.bin/node':
      return missing(rest.find((word, at) => !word.startsWith('-') && !rest[at - 1]?.startsWith('--')))
    case 'docker':
      return missing(rest[rest.indexOf('-f') + 1])
    default:
      return [`nobody knows the program ${program}`]
  }
}

/** `npm start -- COMMAND OPTIONS`, as main.ts takes it. */
async function ours(words: readonly string[]): Promise<string[]> {
  const cut = words.indexOf('--')
  if (cut === -1) return words.length === 1 ? [] : ['npm keeps options that do not stand after --']
  const args = words.slice(cut + 1)
  const redirect = args.indexOf('>')
  if (redirect !== -1) args.splice(redirect)
  const command = args[0].startsWith('-') ? 'run' : args.shift()
  if (args.includes('--help')) return []
  if (command === undefined || !isCommand(command)) return [`there is no command ${command}`]
  try {
    const positionals = { replay: 'INPUT', config: 'ACTION' } as Partial<Record<CommandName, string>>
    const options: Parameters<typeof readArguments>[1] = COMMANDS[command].options
    const parsed = readArguments(args, options, positionals[command] ?? null)
    const { config, set, portOffset } = configFlags(parsed)
    const files = Object.fromEntries(config.map(file => [file, exists(file) ? read(file) : '']))
    const absent = config.filter(file => !OWN_FILES.has(file) && !exists(file))
    return [
      ...absent,
      ...complaints(await load({ files, set, ...(portOffset === null ? {} : { portOffset }) })),
    ]
  } catch (error) {
    return [(error as Error).message]
  }
}

const commands = [README, STRUCTURE]
  .flatMap(text => blocks(text, 'sh'))
  .flatMap(block => block.split('\n').filter(line => line !== '' && !line.startsWith('#')))

describe('what the README tells to type', () => {
  test('there is something', () => expect(commands.length).toBeGreaterThan(15))

  test.each(commands)('%s', async line => expect(await faults(line)).toEqual([]))

  test.each([
    'npm run nonsense',
    'npm start --config deploy/otlier.yaml',
    'npm start -- --port-ofset 10000',
    'npm start -- --config deploy/nothing.yaml',
    'npm start -- --set service.logs.lvel=debug',
    'npm start -- validat --config otlier.yaml',
    'npm start -- replay --event x traces.jsonl.gz',
    'node_modules/.bin/node test/kit/nothing.ts',
    'docker compose -f deploy/nothing.yaml up',
    'npx otlier',
  ])('%s would be found out', async line => expect(await faults(line)).not.toEqual([]))

  test('every command of Otlier and every script it names exists', () => {
    for (const text of [README, STRUCTURE]) {
      const named = [...text.matchAll(/`npm run ([\w:]+)`/g)].map(match => match[1])
      expect(named.filter(name => !Object.hasOwn(scripts, name))).toEqual([])
    }
  })

  test('every YAML block is a configuration without a fault', async () => {
    const files = blocks(README, 'yaml')
    expect(files.length).toBeGreaterThan(0)
    for (const file of files) expect(complaints(await load({ files: file }))).toEqual([])
  })

  test('every JSON block is JSON', () => {
    for (const block of blocks(README, 'json')) expect(JSON.parse(block)).toBeTypeOf('object')
  })

  test('links lead to files that are there', () => {
    const links = (text: string) => [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(match => match[1])
    expect(links(README).filter(link => !exists(link))).toEqual([])
    expect(links(STRUCTURE).filter(link => !exists(join('src', link)))).toEqual([])
  })
})

describe('what the README shows', () => {
  test('a mark has the attributes of its table, in their order', async () => {
    const planes = recordedPlanes()
    await planes.send(Array.from({ length: 300 }, (_, n) => spanAt(n * 1000, 60)))
    const model = planes.models.get('POST /pay')
    if (model === undefined) throw new Error('nothing was learned')
    const mark = markOf({ model, slow: true, failed: false, durationNs: 1.84e9 })
    const shown = rows(README).flatMap(([first]) => /^`(otlier\.anomaly\.\w[\w.]*)`$/.exec(first)?.[1] ?? [])
    expect(shown.toSorted()).toEqual(Object.keys(mark).toSorted())
  })

  test('every metric of its table is served', async () => {
    const service = await startService(['exporters.debug={}'])
    const client = new GrpcClient(service.grpcPort)
    const nowMs = Date.now()
    const span = (durationMs: number) => ({
      name: 'GET /',
      kind: 'server' as const,
      startNs: BigInt(nowMs - 60_000) * 1_000_000n,
      durationNs: durationMs * 1e6,
    })
    const normal = Array.from({ length: 300 }, () => span(10))
    for (const spans of [normal, [span(5000)]]) {
      expect((await client.export('traces', tracesRequest([{ service: 'shop', spans }]))).code).toBe(0)
    }
    expect((await client.export('traces', Buffer.from('0aff', 'hex'))).code).toBe(3)
    const served = new Set([...(await service.metrics()).keys()].map(sample => sample.replace(/\{.*$/, '')))
    client.session.close()
    await service.stop()
    const named = rows(README).flatMap(([first]) =>
      [...first.matchAll(/`(otlier_\w+)`/g)].map(match => match[1]),
    )
    expect(named.length).toBeGreaterThan(20)
    // There is none before an incident, which takes an hour: `learn/outputs.test.ts` has it.
    served.add('otlier_anomalies_total')
    expect(named.filter(name => !served.has(name))).toEqual([])
  })
})

describe('src/README.md', () => {
  test('its table of folders is the one that is enforced', () => {
    const told = Object.fromEntries(
      rows(STRUCTURE)
        .filter(([first]) => first.startsWith('`src/'))
        .map(([first, , may]) => [first.replaceAll(/`|src\/|\/`$/g, '').replace(/\/$/, ''), may]),
    )
    const enforced = Object.entries(LAYERS).map(([layer, may]) => [
      layer,
      may === 'all' ? 'everything' : may.length === 0 ? 'nothing' : may.join(', '),
    ])
    expect(told).toEqual(Object.fromEntries(enforced))
  })

  test('its decisions are numbered from 1, each with a context, a decision and a cost', () => {
    const [, section] = /^## Decisions\n([\s\S]*?)^## /m.exec(STRUCTURE) ?? []
    const parts = section.split(/^\*\*(?=\d+\. )/m).slice(1)
    expect(parts.length).toBeGreaterThan(25)
    parts.forEach((part, index) => {
      expect(part.startsWith(`${index + 1}. `), part).toBe(true)
      expect(part.match(/^- (Context|Decision|Cost): /gm), part).toEqual([
        '- Context: ',
        '- Decision: ',
        '- Cost: ',
      ])
    })
  })

  test('every file it names is there', () => {
    const named = [...STRUCTURE.matchAll(/`((?:\w[\w-]*\/)+[\w.-]+\.(?:ts|mjs))`/g)].map(match => match[1])
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter(path => !exists(path) && !exists(join('src', path)))).toEqual([])
  })
})

/** The rows of the OTLP requirements: servers (S), over gRPC (G), over HTTP (H), JSON (J), clients (C). */
const REQUIREMENTS = Object.entries({ S: 12, G: 13, H: 16, J: 8, C: 17 }).flatMap(([letter, count]) =>
  Array.from({ length: count }, (_, at) => `${letter}${at + 1}`),
)
/** What users of others complain about (D): each is a test of its own. */
const COMPLAINTS = Array.from({ length: 13 }, (_, at) => `D${at + 1}`)
/** Rows of level m, and those that are named: they alone may be without a test. */
const EXCUSED = ['S11', 'H2', 'H5', 'H6', 'S8', 'H14']

/** The faults that others' test suites inject: each begins the name of a test in a suite of faults. */
const FAULTS = [
  [
    'backend down',
    'refused',
    'black-hole',
    'slow',
    'RST mid-body',
    '503',
    '429 with Retry-After',
    '500',
    '400',
  ],
  ['partial success', 'reply garbage', 'oversize reply', 'TLS expiry', 'DNS flap'],
  ['disk full', 'EIO', 'read-only', 'torn write', 'corrupted metadata'],
  ['kill -9 at random points', 'SIGTERM under load', 'memory pressure', 'clock jump'],
  ['slow client', 'half-open streams'],
].flat()
/** Advisories against peers and libraries, and what the Collector had to mend, by their numbers. */
const ADVISORIES = [
  // The Collector and Jaeger.
  ['CVE-2024-36129', 'GHSA-c74f-6mfw-mm4v', '#15252', '#15237', '#15320', '#13228', '#13954'],
  ['CVE-2023-45142', 'CVE-2023-47108', 'CVE-2020-10750'],
  // grpc-js.
  ['CVE-2024-37168', 'GHSA-7v5v-9h63-cj86', 'CVE-2026-48068', 'GHSA-5375-pq7m-f5r2'],
  ['CVE-2026-48069', 'GHSA-99f4-grh7-6pcq'],
  // protobufjs.
  ['CVE-2023-36665', 'CVE-2026-44288', 'CVE-2026-44289', 'GHSA-685m-2w69-288q', 'CVE-2026-44290'],
  ['CVE-2026-44291', 'CVE-2026-44292', 'CVE-2026-44293', 'CVE-2026-44294', 'CVE-2026-48712'],
  ['GHSA-wcpc-wj8m-hjx6', 'CVE-2026-59877', 'GHSA-j3f2-48v5-ccww'],
  // The SDKs.
  ['CVE-2026-44902', 'CVE-2026-39882', 'CVE-2026-44967', 'CVE-2026-40891'],
].flat()

/** The rows at the beginning of names of tests. */
const rowsOf = (names: readonly string[]) =>
  new Set(names.flatMap(name => /^((?:[SGHJCD]\d+(?:, | and )?)+) /.exec(name)?.[1].split(/, | and /) ?? []))

/** What stands before the colon of a name, apart where it is about several. */
const headings = (names: readonly string[]) =>
  new Set(names.flatMap(name => name.split(':', 1)[0].split(/, | or | while | and /)))

/** Every number of an advisory that a name tells of. */
const advisoriesOf = (names: readonly string[]) =>
  new Set(names.flatMap(name => name.match(/(?:CVE|GHSA)(?:-\w+)+|#\d+/g) ?? []))

describe('the requirements of OTLP', () => {
  const files = (readdirSync(join(root, 'test'), { recursive: true }) as string[])
    .filter(path => /(\.(test|suite|hostile|faults)|grpc-frames)\.ts$/.test(path))
    .map(path => ({ path, text: read(join('test', path)) }))
  const names = namesOfTests(files)
  const tested = rowsOf(names)
  const [, list = ''] = STRUCTURE.split('## Requirements without a test')
  const listed = rows(list).flatMap(([id]) => (/^[SGHJC]\d+$/.test(id) ? [id] : []))

  test('every row is tested, or listed with the reason why not', () => {
    expect(REQUIREMENTS.filter(id => !tested.has(id) && !listed.includes(id))).toEqual([])
  })

  test('no row is tested and listed, none is unknown', () => {
    expect(listed.filter(id => tested.has(id))).toEqual([])
    expect(
      [...tested, ...listed].filter(id => !REQUIREMENTS.includes(id) && !COMPLAINTS.includes(id)),
    ).toEqual([])
  })

  test('every complaint about others is tested', () => {
    expect(COMPLAINTS.filter(id => !tested.has(id))).toEqual([])
  })

  test('only optional rows, and those that come with another issue, are listed, each with a reason', () => {
    expect(listed.filter(id => !EXCUSED.includes(id))).toEqual([])
    for (const [id, , why] of rows(list)) if (listed.includes(id)) expect(why.length).toBeGreaterThan(30)
  })

  test('every fault that others inject is a test of its own', () => {
    const injected = headings(namesOfTests(files.filter(({ path }) => path.endsWith('.faults.ts'))))
    expect(FAULTS.filter(fault => !injected.has(fault))).toEqual([])
  })

  test('every advisory is tested by its number', () => {
    const numbers = advisoriesOf(names)
    expect(ADVISORIES.filter(number => !numbers.has(number))).toEqual([])
  })

  test('a row counts at the beginning of a name only, and not in a comment', () => {
    const text = `test('S1 one', f)\n// test('S2 two', f)\ntest('not S3', f)\ntest.each(x)('S4 and S5 four', f)\n{ name: 'G6 six' }\ntest.skip('S7 seven', f)`
    expect([...rowsOf(namesOfTests([{ path: 'x.ts', text }]))]).toEqual(['S1', 'S4', 'S5', 'G6'])
  })

  test('of a table, the first text of each row counts, and of a name that is left out nothing', () => {
    const table = `test.each([\n  ['CVE-1', 'CVE-2', () => f('CVE-3')],\n  ['400 or X', 13],\n] as const)('%s: final', f)`
    const list = `test.each(['CVE-4', 'CVE-5 (GHSA-a)'])(\n  '%s last', f)\ntest.skip('CVE-6: no', f)\n// test('CVE-7', f)`
    const names = namesOfTests([{ path: 'x.ts', text: `${table}\n${list}` }])
    expect([...advisoriesOf(names)]).toEqual(['CVE-1', 'CVE-4', 'CVE-5', 'GHSA-a'])
    expect([...headings(names)]).toContain('400')
  })
})
