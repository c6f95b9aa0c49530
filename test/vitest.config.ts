//! Which files a test command runs: OTLIER_SUITE names the suffix, `.test.ts` where it is unset.
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const suite = process.env.OTLIER_SUITE ?? 'test'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: [`test/**/*.${suite}.ts`],
    testTimeout: suite === 'test' ? 20_000 : 300_000,
    hookTimeout: suite === 'test' ? 20_000 : 300_000,
    // The long suites hold ports and measure time and memory: one file after another.
    fileParallelism: suite === 'test',
    // Vitest leaves one core free, which of two is half the machine.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
})
