//! Otlier as a user runs it, `node src/main.ts`, on free ports, and what it says while it runs.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { begin, type Ended } from '../kit/programs.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface Service {
  readonly grpcPort: number
  readonly httpPort: number
  /** /metrics as plain text. */
  scrape(): Promise<string>
  /** What it has said so far on both streams. */
  said(): string
  /** Sends SIGTERM, and gives back the end. */
  stop(): Promise<Ended>
}

/** The sum of the samples that begin so: `otlier_models{state="ready"`. */
export function sumOf(scrape: string, beginning: string): number {
  const found = scrape.split('\n').filter(line => line.startsWith(beginning))
  return found.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** `exporters` is that section of the configuration file, as YAML indented by two; `settings` are for `--set`. */
export async function startService(exporters: string, settings: readonly string[] = []): Promise<Service> {
  const folder = await mkdtemp(join(tmpdir(), 'otlier-interop-'))
  const file = join(folder, 'otlier.yaml')
  await writeFile(file, `exporters:\n${exporters}`)
  const free = [
    'receivers.otlp.protocols.grpc.endpoint',
    'receivers.otlp.protocols.http.endpoint',
    'service.metrics.endpoint',
    'service.health.endpoint',
    'service.view.endpoint',
  ].map(setting => `${setting}=127.0.0.1:0`)
  const sets = ['directory=none', ...free, ...settings].flatMap(setting => ['--set', setting])
  const args = [MAIN, '--config', file, ...sets]
  const program = begin(process.execPath, args)
  // A test that fails before it stops the service must not leave it behind.
  const orphaned = () => void program.child.kill('SIGKILL')
  process.once('exit', orphaned)
  const ended = program.ended.finally(() => process.off('exit', orphaned))
  await program.line(/Ready\./, 30_000)
  const port = async (pattern: RegExp) => Number(/:(\d+)(?:\/|$)/.exec(await program.line(pattern))?.[1])
  const metricsPort = await port(/metrics +http:/)
  return {
    grpcPort: await port(/gRPC +http:/),
    httpPort: await port(/HTTP +http:/),
    scrape: async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
    said: () => program.stdout() + program.stderr(),
    async stop() {
      program.child.kill('SIGTERM')
      const end = await ended
      await rm(folder, { recursive: true, force: true })
      return end
    },
  }
}

/** Looks again until `done` says so. The limit is generous: it is there to end a test that would not end. */
export async function until(
  what: string,
  done: () => boolean | Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const giveUpMs = Date.now() + limitMs
  while (!(await done())) {
    if (Date.now() > giveUpMs) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
