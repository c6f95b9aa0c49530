//! No look-ahead, on a recording: a replay that is cut off at a moment tells what the whole one tells up to it, byte for byte.
import { spawnSync } from 'node:child_process'
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { mergedLines } from '../../src/commands/lines.ts'
import { seeded } from '../kit/random.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TRACES = fileURLToPath(new URL('../../../shared/data/ob-0822/traces.jsonl.gz', import.meta.url))
const present = existsSync(TRACES)
if (!present) console.log('SKIP: replays that are cut off: ../shared/data is absent')

/** Each is a replay of its own; where everything is checked there is time for fewer. */
const MOMENTS = process.env.CI === undefined ? 50 : 4
/** Observed times are milliseconds as doubles: right to a quarter of a microsecond. */
const ROUNDING_NS = 1000n
const SEED = Number(process.env.OTLIER_SEED ?? 1)
const folder = mkdtempSync(join(tmpdir(), 'otlier-cuts-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Told {
  readonly text: string
  readonly name: string
  readonly observedNs: bigint
}

/** The events of a replay as a user runs it, in the order of its file. */
function replay(input: string): Told[] {
  const events = join(folder, 'events.jsonl')
  const args = [join(ROOT, 'src/main.ts'), 'replay', '--events', events, input]
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  const lines = readFileSync(events, 'utf8').split('\n')
  return lines
    .filter(line => line !== '')
    .flatMap(line => JSON.parse(line).resourceLogs)
    .flatMap(({ resource, scopeLogs }) =>
      scopeLogs.flatMap(({ logRecords }: { logRecords: Record<string, string>[] }) =>
        logRecords.map(record => ({
          text: JSON.stringify({ resource, record }),
          name: record.eventName,
          observedNs: BigInt(record.observedTimeUnixNano),
        })),
      ),
    )
}

test.runIf(present)(
  `at ${MOMENTS} random moments`,
  async () => {
    const whole = replay(TRACES)
    // Uncompressed, so that it can be cut shorter again and again.
    const path = join(folder, 'traces.jsonl')
    const file = createWriteStream(path)
    const lines: { readonly ns: bigint; readonly end: number }[] = []
    let end = 0
    for await (const { text, timeNs } of mergedLines([TRACES], () => {})) {
      end += text.length + 1
      lines.push({ ns: timeNs, end })
      file.write(text)
      if (!file.write('\n')) await new Promise(resolve => file.once('drain', resolve))
    }
    file.end()
    await finished(file)
    const [first, last] = [Number(lines[0].ns), Number(lines[lines.length - 1].ns)]
    const random = seeded(SEED)
    const moments = Array.from({ length: MOMENTS }, () => first + random() * (last - first))
    let told = 0
    let incidents = 0
    let waiting = 0
    for (const moment of moments.sort((a, b) => b - a)) {
      const known = lines.findLastIndex(({ ns }) => Number(ns) <= moment)
      truncateSync(path, lines[known].end)
      const cut = replay(path)
      // What is closed by the end of the input alone was waiting for its window: its time has not come.
      const untilNs = lines[known].ns + ROUNDING_NS
      const expected = whole.filter(({ observedNs }) => observedNs <= untilNs)
      expect(cut.slice(0, expected.length)).toEqual(expected)
      for (const { name, observedNs } of cut.slice(expected.length)) {
        expect(observedNs).toBeGreaterThan(untilNs)
        expect(name).not.toBe('otlier.span.outlier')
      }
      told += expected.length
      incidents += expected.filter(({ name }) => name === 'otlier.incident.opened').length
      waiting += cut.length - expected.length
    }
    console.log(
      `OTLIER_SEED=${SEED}: ${told} events at ${MOMENTS} moments, ${incidents} incidents opened among them; ${waiting} events of windows that waited`,
    )
    expect(incidents).toBeGreaterThan(MOMENTS)
  },
  900_000,
)
