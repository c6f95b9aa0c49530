//! Which files a test command runs: OTLIER_SUITE names the suffix, `.test.ts` where it is unset.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const suite = process.env.OTLIER_SUITE ?? 'test'
const root = fileURLToPath(new URL('..', import.meta.url))

// Most of what a service costs that a test starts is compiling it: the hundredth need not do it again. The long suites measure it as it comes.
if (suite === 'test') process.env.NODE_COMPILE_CACHE ??= `${root}node_modules/.cache/compiled`

/** What runs services, measures memory or replaces modules has a process for each of its files; all others share one, and read the modules once. */
const ALONE = [
  'bench',
  'commands/signals',
  'deploy',
  'edge/advisories',
  'edge/auth',
  'edge/exporters/answers',
  'edge/receivers/both',
  'edge/receivers/receiver',
  'system',
]
const alone = ALONE.flatMap(path => [`test/${path}.${suite}.ts`, `test/${path}/**/*.${suite}.ts`])

export default defineConfig({
  root,
  test: {
    // Node runs the TypeScript itself, as it does the service.
    experimental: { viteModuleRunner: false },
    testTimeout: suite === 'test' ? 60_000 : 300_000,
    hookTimeout: suite === 'test' ? 60_000 : 300_000,
    // The long suites hold ports and measure time and memory: one file after another.
    fileParallelism: suite === 'test' || suite === 'detection',
    // Vitest leaves one core free, which of two is half the machine.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        extends: true,
        test: { name: 'shared', isolate: false, include: [`test/**/*.${suite}.ts`], exclude: alone },
      },
      { extends: true, test: { name: 'alone', include: alone } },
    ],
  },
})
