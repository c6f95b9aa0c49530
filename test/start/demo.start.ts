//! The real `npm run demo`: the first fault is explained on screen within a minute of its first line, one can be asked for, and Ctrl-C ends it with a score.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { run } from '../kit/programs.ts'
import { project } from './clone.ts'
import { cleanUp, type Started, spawnGroup, watch } from './npm-start.ts'

const running: Started[] = []
const folder = mkdtempSync(join(tmpdir(), 'otlier-demo-start-'))
afterEach(async () => {
  for (const started of running.splice(0)) await cleanUp(started)
  rmSync(folder, { recursive: true, force: true })
})

/** Milliseconds until the text is there. Fails, with the output, when it ends or after `withinMs`. */
async function seen(started: Started, text: RegExp, withinMs: number): Promise<number> {
  const began = performance.now()
  while (!text.test(started.output())) {
    if (performance.now() - began > withinMs || started.child.exitCode !== null)
      throw new Error(`${text} did not come:\n${started.output()}`)
    await sleep(50)
  }
  return performance.now() - began
}

test('`npm run demo` explains the first fault within 60 s of its first line', async () => {
  // A shell in which programs are told to send elsewhere, through a proxy.
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    grpc_proxy: 'http://127.0.0.1:1',
    OTEL_SDK_DISABLED: 'true',
    XDG_RUNTIME_DIR: folder,
  }
  const started = watch(spawnGroup('npm', ['run', 'demo'], { folder: project, env }), 0)
  running.push(started)
  await seen(started, /^otlier demo: /m, 60_000)
  const tookMs = await seen(started, /INCIDENT .*payment: [\s\S]*suspects +payment/, 120_000)
  console.log(`the first fault was explained ${(tookMs / 1000).toFixed(1)} s after the first line`)
  expect(tookMs).toBeLessThan(60_000)

  const main = join(project, 'src/main.ts')
  const asked = await run(process.execPath, [main, 'demo', 'inject', 'silence', '--for', '30s'], {
    env: { XDG_RUNTIME_DIR: folder },
  })
  expect([asked.status, asked.stderr]).toEqual([0, ''])
  await seen(started, /FAULT +silence/, 10_000)
  await seen(started, /INCIDENT .*recommendations/, 60_000)

  started.signalGroup('SIGINT')
  expect(await started.exit).toBe(0)
  expect(started.output()).toMatch(/injected 2, detected 2, located 2, median delay \d+ s/)
})
