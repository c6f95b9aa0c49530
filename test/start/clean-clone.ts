//! The first minutes of a newcomer: `npm start` and `npm test` on clean clones, under every condition that has broken them.
//! `--short` leaves out npm test, `--only=TEXT` takes the trials whose name has it, `--turn=N` one of them, another for each N.
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { cleanClone } from './clone.ts'
import { cleanUp, listening, npmStart, type Started, spawnGroup, watch } from './npm-start.ts'

// All five ports stay below 32,768, where those of outgoing connections begin.
const OFFSET = 17_000
const READY_MS = 60_000
const TEST_MS = 180_000
const SECOND_START_S = 3

interface Trial {
  readonly name: string
  readonly npm?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** What happens before `npm start`. */
  before?(folder: string): Promise<void>
  /** `npm test` begins this long after `npm start` instead of after it. */
  readonly testAfterMs?: number
}

/** What npx has fetched once it does not ask for again: a registry that is slow to answer is no fault of Otlier. */
const NPM_10 = ['npx', '--yes', '--prefer-offline', 'npm@10.9.4']

const TRIALS: readonly Trial[] = [
  { name: "the system's npm" },
  { name: 'npm 10', npm: NPM_10 },
  { name: 'NODE_ENV=production', env: { NODE_ENV: 'production' } },
  { name: 'two commands, 4 s apart', testAfterMs: 4_000 },
  { name: 'npm 10, two commands, 4 s apart', npm: NPM_10, testAfterMs: 4_000 },
  { name: 'Ctrl-C when it has begun', before: folder => interrupted(folder, 500) },
  { name: 'Ctrl-C after 4 s of it', before: folder => interrupted(folder, 4_000) },
  {
    name: 'npm 10, Ctrl-C after 4 s of it',
    npm: NPM_10,
    before: folder => interrupted(folder, 4_000, NPM_10),
  },
]

/** An installation stopped so long after it began, as by a terminal, and nobody waits for what is left of it. */
async function interrupted(folder: string, afterMs: number, npm?: readonly string[]) {
  const first = npmStart({ folder, portOffset: OFFSET, ...(npm && { npm }) })
  for (let left = READY_MS; !first.output().includes('installing dependencies'); left -= 50) {
    if (left <= 0) throw new Error(`no installation began:\n${first.output()}`)
    await sleep(50)
  }
  await sleep(afterMs)
  first.signalGroup('SIGINT')
  await first.exit
  // The stamp is the last that an installation writes.
  if (existsSync(join(folder, 'node_modules', '.otlier-setup')))
    throw new Error(`it was over before Ctrl-C, ${afterMs} ms after it began`)
}

async function run(trial: Trial, withTests: boolean) {
  const folder = cleanClone()
  const running: Started[] = []
  const start = () => {
    const { npm, env } = trial
    const started = npmStart({ folder, portOffset: OFFSET, ...(npm && { npm }), ...(env && { env }) })
    running.push(started)
    return started
  }
  /** The second command. In a short trial one that needs the set-up and nothing else. */
  const command = withTests ? ['test'] : ['start', '--', '--version']
  const second = async (): Promise<number> => {
    const began = performance.now()
    const [npm, ...args] = trial.npm ?? ['npm']
    const env = { CI: 'true', ...trial.env }
    const child = watch(spawnGroup(npm, [...args, ...command], { folder, env }), OFFSET)
    running.push(child)
    const timer = setTimeout(() => void cleanUp(child), 2 * TEST_MS)
    const code = await child.exit
    clearTimeout(timer)
    if (code !== 0) throw new Error(`npm ${command[0]} ended with ${code}:\n${child.output().slice(-6_000)}`)
    return (performance.now() - began) / 1000
  }
  try {
    await trial.before?.(folder)
    const first = start()
    const early = trial.testAfterMs ? sleep(trial.testAfterMs).then(second) : null
    early?.catch(() => {})
    const firstS = await first.ready(READY_MS)
    let stopped = await stop(first, trial.npm !== undefined)
    const secondCommandS = early ? await early : withTests ? await second() : null
    const testS = withTests ? secondCommandS : null
    // By the system's npm: npx alone takes a second or two. Another program may have the machine: one of three has to do.
    let secondS = Number.POSITIVE_INFINITY
    for (let left = 3; left > 0 && secondS > SECOND_START_S && stopped === null; left--) {
      const again = npmStart({ folder, portOffset: OFFSET, ...(trial.env && { env: trial.env }) })
      running.push(again)
      secondS = Math.min(secondS, await again.ready(READY_MS))
      stopped = await stop(again)
    }
    const wrong = [
      ...(stopped === null ? [] : [stopped]),
      ...(testS !== null && testS * 1000 > TEST_MS ? [`npm test took over ${TEST_MS} ms`] : []),
      ...(secondS > SECOND_START_S ? [`the second start took over ${SECOND_START_S} s`] : []),
    ]
    return { firstS, testS, secondS, wrong }
  } finally {
    for (const one of running) await cleanUp(one)
    rmSync(folder, { recursive: true, force: true })
  }
}

/** By SIGTERM to npm. npx does not pass that on to the npm that it runs, so there it is Ctrl-C in a terminal. */
async function stop(started: Started, byNpx = false): Promise<string | null> {
  if (byNpx) started.signalGroup('SIGINT')
  else started.signal('SIGTERM')
  const end = await Promise.race([started.exit, sleep(30_000, 'no end within 30 s')])
  for (let left = 100; byNpx && left > 0 && (await listening(OFFSET)).length > 0; left--) await sleep(100)
  const open = await listening(OFFSET)
  if (open.length > 0) return `still listening: ${open.join(', ')}`
  return end === 0 || (byNpx && end === 'SIGINT') ? null : `stopping ended it with ${end}`
}

const seconds = (value: number | null) => (value === null ? '-' : `${value.toFixed(1)} s`)

async function main() {
  const short = process.argv.includes('--short')
  const only = process.argv.find(arg => arg.startsWith('--only='))?.slice(7)
  const turn = process.argv.find(arg => arg.startsWith('--turn='))?.slice(7)
  const chosen =
    turn === undefined
      ? TRIALS.filter(({ name }) => only === undefined || name.includes(only))
      : [TRIALS[Number(turn) % TRIALS.length]]
  let passed = 0
  console.log('| clean clone | npm start ready | npm test | second npm start | |\n|---|---|---|---|---|')
  for (const trial of chosen) {
    try {
      const { firstS, testS, secondS, wrong } = await run(trial, !short)
      const verdict = wrong.length > 0 ? wrong.join('; ') : 'ok'
      if (wrong.length === 0) passed++
      console.log(
        `| ${trial.name} | ${seconds(firstS)} | ${seconds(testS)} | ${seconds(secondS)} | ${verdict} |`,
      )
    } catch (error) {
      console.log(`| ${trial.name} | | | | ${String(error).replaceAll('\n', ' ').slice(0, 300)} |`)
      console.error(error)
    }
  }
  console.log(`${passed} passed, ${chosen.length - passed} failed`)
  process.exitCode = passed === chosen.length ? 0 : 1
}

await main()
