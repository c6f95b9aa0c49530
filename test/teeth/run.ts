//! Runs chosen tests of one file in a process of their own, as they are or with one file of src replaced.
import { createVitest, type TestCase } from 'vitest/node'
import { ROOT } from './tooth.ts'

export interface Replaced {
  /** Under src/. */
  readonly file: string
  readonly text: string
}

/** What became of one test. */
export interface Seen {
  /** With the names of its groups before it. */
  readonly fullName: string
  readonly name: string
  readonly passed: boolean
  /** Why it failed, empty where it passed. */
  readonly why: string
  /** An expectation of it did not hold. False where something threw, or time was up. */
  readonly byAssertion: boolean
  readonly timedOut: boolean
}

export interface Run {
  /** The tests that ran, those that were not chosen left out. */
  readonly seen: readonly Seen[]
  /** The replaced file was read. */
  readonly loaded: boolean
  /** What kept the file of tests from being read, empty where nothing did. */
  readonly broken: string
}

/** No run may take longer, whatever a missing guard leads to. */
const RUN_LIMIT_MS = 120_000

/** @param names parts of full names; the tests that hold one of them run */
export async function run(
  tests: string,
  names: readonly string[],
  replaced: Replaced | null,
  limitMs: number,
): Promise<Run> {
  let loaded = false
  const path = replaced === null ? '' : `${ROOT}src/${replaced.file}`
  const vitest = await createVitest(
    {
      config: false,
      root: ROOT,
      watch: false,
      include: [`test/${tests}`],
      testNamePattern: names.map(name => name.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'),
      pool: 'forks',
      maxWorkers: 1,
      testTimeout: limitMs,
      hookTimeout: limitMs,
      // What is replaced here must never be found in anybody else's cache.
      fsModuleCache: false,
      reporters: [{}],
    },
    {
      plugins: [
        {
          name: 'tooth',
          enforce: 'pre',
          load(id) {
            if (replaced === null || id !== path) return null
            loaded = true
            return replaced.text
          },
        },
      ],
    },
  )
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>(resolve => {
    timer = setTimeout(() => resolve('late'), RUN_LIMIT_MS)
  })
  const ended = await Promise.race([vitest.start(), late])
  clearTimeout(timer)
  if (ended === 'late') {
    // The second is the one that kills a process which turns in circles.
    void vitest.cancelCurrentRun('keyboard-input')
    void vitest.cancelCurrentRun('keyboard-input')
  }
  const modules = vitest.state.getTestModules()
  const errors = modules.flatMap(module => module.errors()).map(({ message }) => message)
  const seen = modules.flatMap(module => [...module.children.allTests()].filter(isChosen).map(seenOf))
  await Promise.race([vitest.close(), new Promise(resolve => setTimeout(resolve, 10_000).unref())])
  const broken = ended === 'late' ? `it did not end within ${RUN_LIMIT_MS / 1000} s` : errors.join('; ')
  return { seen, loaded, broken }
}

const isChosen = (test: TestCase) => test.result().state !== 'skipped'

function seenOf(test: TestCase): Seen {
  const { state, errors = [] } = test.result()
  const causes = errors.flatMap(error => [error, ...(error.cause === undefined ? [] : [error.cause])])
  return {
    fullName: test.fullName,
    name: test.name,
    passed: state === 'passed',
    why: errors.map(({ name, message }) => `${name}: ${message.split('\n', 1)[0]}`).join('; '),
    byAssertion: causes.some(({ name }) => name === 'AssertionError'),
    timedOut: errors.some(({ message }) => /timed out in \d+ms/.test(message)),
  }
}
