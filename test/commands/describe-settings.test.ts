//! The laws of the other forms of the settings: schema, starter file, README table, and the files in deploy/.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are part of the syntax
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { pathsOf } from '../../src/base/settings.ts'
import { jsonSchema, settingsTable, starterFile } from '../../src/commands/describe-settings.ts'
import { SETTINGS } from '../../src/config.ts'
import { load, valid } from '../kit/settings.ts'
import { README, withSettings } from '../readme.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('the JSON schema', () => {
  const schema = z.fromJSONSchema(jsonSchema() as Parameters<typeof z.fromJSONSchema>[0])
  const fits = (text: string) => schema.safeParse(parse(text)).success

  test('takes the starter file, an empty one, and what is printed', async () => {
    expect(fits(starterFile())).toBe(true)
    expect(fits('')).toBe(true)
    const { shown } = await valid({
      files: 'exporters: {otlp/a: {endpoint: a:1, headers: {x: y}}, otlphttp: {endpoint: http://b}, debug: }',
    })
    expect(fits(stringify(shown))).toBe(true)
  })

  test.each([
    'exporters: {otlp/x: {endpoint: x:1, timeout: 1m30s}}',
    'exporters: {debug: }',
    'memory_limit_mib: "${env:MEMORY}"',
    'service: {metrics: {otlp: "${OTLP:-true}"}, pipelines: {traces: {exporters: [a]}}}',
    'shutdown_timeout: 0',
    'processors: {otlier: {budget: 0.2/day}}',
  ])('takes %s, as the check does', async text => {
    expect(fits(text)).toBe(true)
  })

  test.each([
    'recievers: {}',
    'exporters: {jaeger: {}}',
    'exporters: {otlp: {endpoint: x:1, timout: 1s}}',
    'exporters: {otlp/: {endpoint: x:1}}',
    'memory_limit_mib: 1',
    'memory_limit_mib: much',
    'shutdown_timeout: 10',
    'service: {logs: {level: loud}}',
    'processors: {otlier: {budget: 1}}',
    'receivers: {otlp: {forward_headers: a}}',
    'service: []',
  ])('refuses %s, as the check does', async text => {
    expect(fits(text)).toBe(false)
    expect((await load({ files: text })).problems).not.toEqual([])
  })

  test('describes every setting', () => {
    const described = JSON.stringify(jsonSchema()).match(/"description":"[^"]{3,}/g) ?? []
    expect(described.length).toBe(pathsOf(SETTINGS).length + 1)
  })
})

describe('the starter file', () => {
  test('changes nothing: it says what holds without it', async () => {
    const { shown } = await valid({ files: starterFile() })
    expect(shown).toEqual((await valid()).shown)
  })

  test('shows how to name a destination, and the example works', async () => {
    const example = starterFile()
      .split('\n')
      .filter(line => /^# ( |exporters:)/.test(line))
      .map(line => line.slice(2))
      .join('\n')
    const { config } = await valid({ files: example, variables: { VENDOR_TOKEN: 't' } })
    expect(config.exporters.map(({ id }) => id)).toEqual(['otlp/jaeger', 'otlphttp/vendor'])
  })
})

describe('the README', () => {
  test('holds the table of settings as it is printed', () => {
    expect(existsSync(README), 'README.md is there').toBe(true)
    const text = readFileSync(README, 'utf8')
    expect(withSettings(text), 'write it anew with: node test/readme.ts --write').toBe(text)
  })

  test('has a row for every setting that works', () => {
    const table = settingsTable()
    for (const row of [
      '`receivers.otlp.protocols.{grpc,http}.max_recv_msg_size_mib` | `64`',
      '`exporters.{otlp,otlphttp}.sending_queue.when_full` | refuse; drop_newest with several destinations',
      '`service.pipelines.{traces,metrics,logs}.exporters` | all exporters',
      '`processors.otlier.budget` | `1/day`',
    ]) {
      expect(table).toContain(`| ${row} |`)
    }
    expect(table).toContain('bearer_token_file')
    for (const line of table.split('\n')) expect(line.match(/(?<!\\)\|/g)).toHaveLength(4)
  })

  test('is written between its marks and nowhere else', () => {
    const text = 'before <!-- settings -->old<!-- /settings --> after'
    expect(withSettings(text)).toBe(
      `before <!-- settings -->\n\n${settingsTable()}\n\n<!-- /settings --> after`,
    )
    expect(withSettings(withSettings(text))).toBe(withSettings(text))
    expect(() => withSettings('nothing')).toThrow('<!-- settings -->')
  })
})

describe('the files in deploy/', () => {
  const files = readdirSync(`${root}deploy`).filter(name => /^otlier.*\.ya?ml$/.test(name))

  test('there are some', () => {
    expect(files.length).toBeGreaterThan(0)
  })

  test.each(files)('%s is valid', async name => {
    await valid({ files: { [name]: readFileSync(`${root}deploy/${name}`, 'utf8') } })
  })
})
