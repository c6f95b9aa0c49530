//! The OpenTelemetry SDK for Go: test/interop/go, built where Go is there.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './programs.ts'
import type { Sent } from './sdk-client.ts'

const SOURCES = fileURLToPath(new URL('../interop/go/', import.meta.url))

export interface GoClient {
  /** `env` holds the standard variables of the SDK. */
  client(phase: 'normal' | 'slow', env: Readonly<Record<string, string>>): Promise<Sent>
  remove(): Promise<void>
}

/** The built program, or why there is none. A first build fetches the modules and takes a minute or two. */
export async function buildGo(): Promise<GoClient | string> {
  const version = await run('go', ['version'])
  if (version.status !== 0) return 'go is not installed'
  const fetched = await run('go', ['mod', 'download'], { cwd: SOURCES, timeoutMs: 180_000 })
  if (fetched.status !== 0)
    return `the Go modules cannot be fetched: ${fetched.stderr.trim().split('\n').at(-1)}`
  const folder = await mkdtemp(join(tmpdir(), 'otlier-go-'))
  const program = join(folder, 'client')
  const built = await run('go', ['build', '-mod=readonly', '-o', program, '.'], {
    cwd: SOURCES,
    timeoutMs: 240_000,
  })
  if (built.status !== 0) throw new Error(`go build ended with ${built.status}: ${built.stderr}`)
  return {
    async client(phase, env) {
      const { status, stdout, stderr } = await run(program, [phase], { env })
      if (status !== 0) throw new Error(`the Go client ended with ${status}: ${stderr}`)
      return JSON.parse(stdout) as Sent
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
