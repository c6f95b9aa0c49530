//! What is in deploy/ is well-formed, keeps its own rules, and fits together, as far as that shows without running it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { validate } from 'dockerfile-utils'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadConfig, realSurroundings } from '../src/commands/load-config.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const deploy = join(root, 'deploy')
const read = (name: string) => readFileSync(join(deploy, name), 'utf8')
const runtime = JSON.parse(read('runtime/package.json'))

// biome-ignore lint/suspicious/noExplicitAny: what a YAML file holds is checked below.
type Yaml = Record<string, any>

/** Runs a tool; null, and a line that says so, where it is not installed. */
function tool(command: string, args: readonly string[]) {
  const done = spawnSync(command, args, { cwd: deploy, encoding: 'utf8', timeout: 15_000 })
  if ((done.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    console.log(`SKIP: ${command} ${args.join(' ')}: ${command} is not installed`)
    return null
  }
  return { status: done.status, text: `${done.stdout}${done.stderr}` }
}

/** The instructions of a Dockerfile, continuation lines joined. */
const instructions = (text: string) =>
  text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter(Boolean)
    .map(line => {
      const [name, ...rest] = line.split(' ')
      return { name, rest: rest.join(' ') }
    })

const PINNED = /^[\w./-]+:v?\d+\.\d+\.\d+(-[\w.]+)?$/

/** The rules for an image of ours. */
function imageFaults(text: string) {
  const wrong: string[] = []
  const all = instructions(text)
  const last = all.slice(all.findLastIndex(({ name }) => name === 'FROM'))
  for (const { name, rest } of all) {
    if (name === 'FROM' && !PINNED.test(rest.split(' ')[0])) wrong.push(`${rest} is not pinned`)
    if (name === 'ADD') wrong.push('ADD fetches and unpacks; COPY does what it says')
    if (['ENTRYPOINT', 'CMD'].includes(name) && !rest.startsWith('[')) wrong.push(`${name} starts a shell`)
    if (/^(CMD|HEALTHCHECK .*CMD) [^[]/.test(`${name} ${rest}`) && name === 'HEALTHCHECK')
      wrong.push('HEALTHCHECK starts a shell')
    if (/npm (i|install)\b/.test(rest)) wrong.push('npm install does not follow the lock file')
  }
  const users = last.filter(({ name }) => name === 'USER').map(({ rest }) => rest)
  if (!/^[1-9]\d*(:\d+)?$/.test(users.at(-1) ?? '')) wrong.push('the user is not an ordinary one, by number')
  for (const name of ['HEALTHCHECK', 'ENTRYPOINT', 'STOPSIGNAL'])
    if (!last.some(one => one.name === name)) wrong.push(`there is no ${name}`)
  return wrong
}

describe('deploy/Dockerfile', () => {
  const text = read('Dockerfile')

  test('parses without a fault', () => {
    expect(validate(text)).toEqual([])
  })

  test('keeps the rules for images, on the Node that the checkout pins', () => {
    expect(imageFaults(text)).toEqual([])
    const images = instructions(text).filter(({ name }) => name === 'FROM')
    expect(images.map(({ rest }) => rest.split(' ')[0])).toEqual(
      Array(2).fill(`node:${runtime.version}-slim`),
    )
    expect(text).toMatch(/MALLOC_MMAP_THRESHOLD_=65536/)
    expect(text).toMatch(/^ENTRYPOINT \["node", "--initial-heap-size=128", /m)
    expect(text).toMatch(/HEALTHCHECK [^[]*CMD \["node", "\/opt\/otlier\/dist\/main\.js", "healthcheck"/)
  })

  test('copies only what is there and what is sent to the builder', () => {
    const ignore = read('Dockerfile.dockerignore')
      .split('\n')
      .filter(line => line && !line.startsWith('#'))
    expect(ignore[0]).toBe('*')
    const sent = new Set(ignore.slice(1).map(line => line.slice(1)))
    const copied = instructions(text)
      .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1))
    expect([...new Set(copied)].sort()).toEqual([...sent].sort())
    expect([...sent].filter(path => path !== 'README.md' && !existsSync(join(root, path)))).toEqual([])
  })

  test('every rule bites', () => {
    const good = text
    const bad = [
      good.replace(/FROM node:[\d.]+-slim\n/, 'FROM node:26-slim\n'),
      good.replace('USER 1000:1000', 'USER root'),
      good.replace('USER 1000:1000\n', ''),
      good.replace('COPY proto proto', 'ADD https://example.test/x /x'),
      good.replace(
        'ENTRYPOINT ["node", "--initial-heap-size=128", "/opt/otlier/dist/main.js"]',
        'ENTRYPOINT node /opt/otlier/dist/main.js',
      ),
      good.replace(/HEALTHCHECK[^\]]*\]/, ''),
      good.replace('STOPSIGNAL SIGTERM', ''),
      good.replace('npm ci --omit=dev', 'npm install --omit=dev'),
    ]
    for (const sample of bad) expect(imageFaults(sample), sample).toHaveLength(1)
  })
})

describe('deploy/compose.yaml', () => {
  const compose: Yaml = parse(read('compose.yaml'))
  const services = Object.entries<Yaml>(compose.services)

  test('fits the schema of Compose, and dclint finds nothing', () => {
    const dclint = join(root, 'node_modules', 'dclint', 'bin', 'dclint.cjs')
    const { status, stdout } = spawnSync(process.execPath, [dclint, '--max-warnings', '0', 'compose.yaml'], {
      cwd: deploy,
      encoding: 'utf8',
    })
    expect(stdout.trim()).toBe('')
    expect(status).toBe(0)
  })

  test('images are pinned to one version, ports are bound to loopback, mounted files exist', () => {
    for (const [name, service] of services) {
      if (name === 'otlier') expect(service.build).toEqual({ context: '..', dockerfile: 'deploy/Dockerfile' })
      else expect(service.image).toMatch(PINNED)
      for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
      for (const volume of service.volumes ?? []) {
        const [from, to, mode] = volume.split(':')
        if (from.startsWith('.')) expect([existsSync(join(deploy, from)), mode]).toEqual([true, 'ro'])
        else expect(Object.keys(compose.volumes)).toContain(from)
        expect(to).toMatch(/^\//)
      }
    }
  })

  test('Otlier runs without rights, on a read-only root, and is given time to drain', () => {
    expect(compose.services.otlier).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      stop_grace_period: '30s',
    })
  })

  test('what the parts say of each other is there', () => {
    const hosts = (text: string) =>
      [...text.matchAll(/(?:http:\/\/|[[ ])([a-z]+):(\d{2,5})\b/g)].map(m => m[1])
    for (const name of ['otlier.compose.yaml', 'prometheus.yaml', 'grafana/datasources.yaml']) {
      const named = hosts(read(name))
      expect(named.length).toBeGreaterThan(1)
      for (const host of named) expect(Object.keys(compose.services), name).toContain(host)
    }
  })

  test('Grafana has a data source for each backend, and exemplars lead to traces', () => {
    const { datasources }: Yaml = parse(read('grafana/datasources.yaml'))
    expect(datasources.map((one: Yaml) => one.uid)).toEqual(['prometheus', 'tempo', 'jaeger'])
    expect(datasources[0].jsonData.exemplarTraceIdDestinations).toEqual([
      { name: 'trace_id', datasourceUid: 'tempo' },
    ])
    expect(compose.services.prometheus.command).toContain('--enable-feature=exemplar-storage')
  })
})

describe('the configurations of Otlier', () => {
  const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://jaeger:4317' }
  const surroundings = { ...realSurroundings(), variables }

  test.each(['otlier.yaml', 'otlier.compose.yaml'])(
    '%s is one that Otlier accepts without a word',
    async name => {
      const { problems } = await loadConfig(
        { config: [join(deploy, name)], set: [], portOffset: null },
        surroundings,
      )
      expect(problems).toEqual([])
    },
  )
})

describe('deploy/collector.yaml', () => {
  const config: Yaml = parse(read('collector.yaml'))

  test('its pipelines use every part that is defined, and none that is not', () => {
    for (const kind of ['receivers', 'processors', 'exporters']) {
      const used = Object.values<Yaml>(config.service.pipelines).flatMap(pipeline => pipeline[kind])
      expect([...new Set(used)].sort()).toEqual(Object.keys(config[kind]).sort())
    }
    expect(config.service.extensions).toEqual(Object.keys(config.extensions))
  })

  test('it limits memory first, and sends to Otlier', () => {
    expect(config.service.pipelines.traces.processors[0]).toBe('memory_limiter')
    expect(config.exporters['otlp/otlier'].endpoint).toBe('otlier:4317')
  })
})

describe('deploy/otlier.service', () => {
  const text = read('otlier.service')

  test('systemd accepts it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'otlier-'))
    try {
      // systemd asks whether the program is there; where Node is, differs.
      const file = join(folder, 'otlier.service')
      writeFileSync(file, text.replace('/usr/bin/node', process.execPath))
      const done = tool('systemd-analyze', ['verify', file])
      if (done) expect(done).toEqual({ status: 0, text: '' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('its exposure, as systemd counts it, is below 2', () => {
    const done = tool('systemd-analyze', ['security', '--offline=true', 'otlier.service'])
    if (done === null) return
    const level = /exposure level for otlier\.service: ([\d.]+)/.exec(done.text)?.[1]
    if (level === undefined)
      return console.log('SKIP: systemd-analyze security: this version has no --offline')
    expect(Number(level)).toBeLessThan(2)
  })

  test('it runs what the package installs, and is given time to drain', () => {
    const { name, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(text).toContain(`node_modules/${name}/${bin.otlier} run`)
    expect(text).toMatch(/^TimeoutStopSec=30s$/m)
    expect(text).toMatch(/^Environment=MALLOC_MMAP_THRESHOLD_=65536$/m)
    expect(text).toMatch(/^ExecStart=\/usr\/bin\/node --initial-heap-size=128 /m)
  })
})

describe('the other files', () => {
  test('Prometheus accepts its configuration', () => {
    const done = tool('promtool', ['check', 'config', 'prometheus.yaml'])
    if (done) expect(done.status, done.text).toBe(0)
  })

  test('yamllint finds nothing', () => {
    const rules =
      '{extends: default, rules: {line-length: {max: 130}, document-start: disable, comments: {min-spaces-from-content: 1}}}'
    const done = tool('yamllint', ['-s', '-d', rules, '.'])
    if (done) expect(done).toEqual({ status: 0, text: '' })
  })

  test('what could not be run where it was written says so', () => {
    for (const name of ['Dockerfile', 'compose.yaml', 'collector.yaml', 'otlier.service'])
      expect(read(name), name).toMatch(/# Not (run|built)\b/)
  })
})
