//! Switches off guards one at a time and shows that the named test then fails. A word limits it to the teeth that have it, --part=2/3 to every third and the promised ones.
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { ANSWERS } from './answers.ts'
import { CALM } from './calm.ts'
import { EXPORTERS } from './exporters.ts'
import { IDLE } from './idle.ts'
import { KEEPING } from './keeping.ts'
import { MEMORY } from './memory.ts'
import { ORDER } from './order.ts'
import { PLANES } from './planes.ts'
import { QUEUE } from './queue.ts'
import { RECEIVERS } from './receivers.ts'
import { type Run, run, type Seen } from './run.ts'
import { SECURITY } from './security.ts'
import { SERVICE } from './service.ts'
import { switchedOff, type Tooth } from './tooth.ts'
import { TRACES } from './traces.ts'
import { WIRE } from './wire.ts'

/** For tests as they are, which is vitest's limit for them elsewhere, and for those that are known to wait for ever. */
const TEST_LIMIT_MS = 20_000
const HANGING_LIMIT_MS = 5_000
/** Limit after decompression, length against parent, partial success, RESOURCE_EXHAUSTED without RetryInfo: in every part. */
const ALWAYS = ['S2', 'framing', 'C5', 'C6']
const OTLP_ROW = /^[SGHJC]\d+$/

/** `tasks` at a time; the result of each is there when its turn comes. */
function limited(tasks: number): <T>(task: () => Promise<T>) => Promise<T> {
  let free = tasks
  const waiting: (() => void)[] = []
  return async task => {
    if (free > 0) free--
    else await new Promise<void>(resolve => waiting.push(resolve))
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}

/** The one test of the tooth in the run without any guard switched off, or a sentence that says why there is none. */
function sound(tooth: Tooth, control: Run): Seen | string {
  if (control.broken !== '') return `test/${tooth.tests} cannot be run: ${control.broken}`
  const named = control.seen.filter(({ fullName }) => fullName.includes(tooth.test))
  if (named.length !== 1) return `${named.length} tests of test/${tooth.tests} have this name: ${tooth.test}`
  const [test] = named
  if (OTLP_ROW.test(tooth.row) && !test.name.startsWith(`${tooth.row} `))
    return `the test's name does not begin with ${tooth.row}: ${test.name}`
  return test.passed ? test : `the test fails with the guard in place: ${test.why}`
}

/** Empty where the tooth bites, else why it does not. */
async function bitten(
  tooth: Tooth,
  control: Promise<Run>,
  slot: ReturnType<typeof limited>,
): Promise<string> {
  const off = switchedOff(tooth)
  if ('wrong' in off) return off.wrong
  const limitMs = tooth.hangs === true ? HANGING_LIMIT_MS : TEST_LIMIT_MS
  const patched = slot(() => run(tooth.tests, [tooth.test], { file: tooth.file, text: off.text }, limitMs))
  const [before, after] = await Promise.all([control, patched])
  const test = sound(tooth, before)
  if (typeof test === 'string') return test
  if (after.broken !== '') return `without it, test/${tooth.tests} cannot be run: ${after.broken}`
  if (!after.loaded) return `the test never reads src/${tooth.file}`
  const same = after.seen.find(({ fullName }) => fullName === test.fullName)
  if (same === undefined) return 'without it, the test is not there'
  if (same.passed) return `the test passes without it: ${test.fullName}`
  if (tooth.hangs === true) return same.timedOut ? '' : `the test does not wait in vain: ${same.why}`
  return same.byAssertion ? '' : `the test fails, but by no expectation of its own: ${same.why}`
}

const { values, positionals } = parseArgs({ options: { part: { type: 'string' } }, allowPositionals: true })
const [word = ''] = positionals
const [part, parts] = (values.part ?? '1/1').split('/').map(Number)
if (!(part >= 1 && part <= parts))
  throw new Error(`--part=${values.part} is none: --part=1/3 is the first of three`)
const teeth = [
  ...WIRE,
  ...RECEIVERS,
  ...EXPORTERS,
  ...ORDER,
  ...PLANES,
  ...TRACES,
  ...QUEUE,
  ...SECURITY,
  ...SERVICE,
  ...MEMORY,
  ...IDLE,
  ...KEEPING,
  ...ANSWERS,
  ...CALM,
]
  .filter(({ row, guard, file, tests }) => [row, guard, file, tests].some(text => text.includes(word)))
  .filter(({ row }, at) => at % parts === part - 1 || ALWAYS.includes(row))
const slot = limited(Math.max(2, Math.min(4, availableParallelism())))
const files = [...new Set(teeth.map(({ tests }) => tests))]
const controls = new Map(
  files.map(file => {
    const names = teeth.filter(({ tests }) => tests === file).map(({ test }) => test)
    return [file, slot(() => run(file, names, null, TEST_LIMIT_MS))] as const
  }),
)
const widest = Math.max(...teeth.map(({ guard }) => guard.length))
const results = teeth.map(tooth =>
  bitten(tooth, controls.get(tooth.tests) as Promise<Run>, slot).catch(error => `the run failed: ${error}`),
)
let biting = 0
for (const [at, tooth] of teeth.entries()) {
  const why = await results[at]
  if (why === '') biting++
  const verdict = why === '' ? 'bites' : `DOES NOT BITE: ${why}`
  console.log(`${tooth.row.padEnd(9)} ${tooth.guard.padEnd(widest)}  ${verdict}`)
}
console.log(`\n${teeth.length} teeth, ${biting} bite`)
process.exit(teeth.length > 0 && biting === teeth.length ? 0 : 1)
