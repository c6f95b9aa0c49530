//! The law of explaining on a recording of a real system: two minutes after a service was starved it is suspected first.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { silentLog } from '../../src/base/log.ts'
import { replayFiles } from '../../src/commands/replay-files.ts'
import { DETECTING } from '../kit/planes.ts'

const FOLDER = fileURLToPath(new URL('../../../shared/data/tt-0129', import.meta.url))
const TRACES = join(FOLDER, 'traces.jsonl.gz')
const present = existsSync(TRACES)
if (!present) console.log('SKIP: explain --at on a recording: ../shared/data is absent')

interface Fault {
  readonly at: string
  readonly service: string
  readonly type: string
}

const AFTER_MS = 120_000
const LIMIT_MS = 600_000

/** Whom `otlier explain --at` names, likeliest first. */
async function suspectedAt(untilMs: number): Promise<string[]> {
  const { accounts } = await replayFiles({
    inputs: [TRACES],
    events: null,
    out: null,
    detecting: DETECTING,
    version: '0.0.0',
    log: silentLog,
    onBad: ({ why }) => {
      throw new Error(why)
    },
    untilMs,
  })
  const answer = accounts.assess(untilMs, null)
  if ('wrong' in answer) throw new Error(answer.wrong)
  return answer.suspects.map(({ service }) => service)
}

test.runIf(present)(
  'of four starved services three are suspected first; of faults in code, which leave times alone, the ranks are printed',
  async () => {
    const faults = JSON.parse(readFileSync(join(FOLDER, 'labels.json'), 'utf8')) as Fault[]
    let first = 0
    let starved = 0
    for (const { at, service, type } of faults) {
      const names = await suspectedAt(Date.parse(at) + AFTER_MS)
      const rank = names.indexOf(service) + 1
      console.log(`${at.slice(11, 16)} ${type} ${service}: ${rank || 'not'} among ${names.length}`)
      if (type !== 'cpu_contention') continue
      starved++
      if (rank === 1) first++
    }
    expect(starved).toBe(4)
    expect(first).toBeGreaterThanOrEqual(3)
  },
  LIMIT_MS,
)
