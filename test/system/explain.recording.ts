//! The law of explaining on a recording of a real system: two minutes after a service was starved it is suspected first.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const FOLDER = fileURLToPath(new URL('../../../shared/data/tt-0129', import.meta.url))
const present = existsSync(join(FOLDER, 'traces.jsonl.gz'))
if (!present) console.log('SKIP: explain --at on a recording: ../shared/data is absent')

interface Fault {
  readonly at: string
  readonly service: string
  readonly type: string
}

const AFTER_MS = 120_000
const LIMIT_MS = 600_000

test.runIf(present)(
  'of four starved services three are suspected first; of faults in code, which leave times alone, the ranks are printed',
  () => {
    const faults = JSON.parse(readFileSync(join(FOLDER, 'labels.json'), 'utf8')) as Fault[]
    let first = 0
    let starved = 0
    for (const { at, service, type } of faults) {
      const moment = new Date(Date.parse(at) + AFTER_MS).toISOString()
      const args = [MAIN, 'explain', '--input', join(FOLDER, 'traces.jsonl.gz'), '--at', moment, '--json']
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
      expect([status, stderr]).toEqual([0, ''])
      const names = (JSON.parse(stdout).suspects as { service: string }[]).map(suspect => suspect.service)
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
