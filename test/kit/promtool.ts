//! What promtool thinks of a scrape, where it is installed.
import { spawnSync } from 'node:child_process'
import { expect, type TestContext } from 'vitest'

/** Finds nothing wrong with the text. Where it is not installed the test ends here as skipped, and that is said. */
export function expectLinted(input: string, context: TestContext): void {
  const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input,
    encoding: 'utf8',
  })
  if (error !== undefined) {
    console.log('SKIP: promtool is not installed (Debian: apt-get install prometheus)')
    context.skip()
  }
  expect(`${stdout}${stderr}`).toBe('')
  expect(status).toBe(0)
}
