//! Otlier in a process of its own, started as `npm start` starts it, and what the system says about its memory.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readMetrics, type Scrape } from '../../kit/accounts.ts'
import { begin, type Ended } from '../../kit/programs.ts'
import { startEnvironment, startFlags } from '../../kit/start-command.ts'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))
const READY_MS = 60_000
const SCRAPE_MS = 5000
const MIB = 2 ** 20

export interface Target {
  readonly grpcPort: number
  readonly httpPort: number
  readonly metricsPort: number
  /** Resident memory in MiB: now, and the most since `forgetPeak`. */
  resident(): number
  peak(): number
  forgetPeak(): void
  /** Files and connections that it has open. */
  openFiles(): number
  scrape(): Promise<Scrape>
  /** The status line and the body of /ready. */
  health(): Promise<{ readonly status: number; readonly body: string }>
  isAlive(): boolean
  said(): string
  stop(): Promise<Ended>
}

/** Whether this system tells about memory as the measurements need it. */
export const CAN_MEASURE = existsSync('/proc/self/status')

/** What /metrics says. Rejects where it says nothing, or not in time. */
export async function scrapeOf(metricsPort: number): Promise<Scrape> {
  const signal = AbortSignal.timeout(SCRAPE_MS)
  const reply = await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { signal })
  if (!reply.ok) throw new Error(`/metrics answers ${reply.status}`)
  return readMetrics(await reply.text())
}

/** `settings` as `--set` takes them. */
export async function startTarget(settings: readonly string[]): Promise<Target> {
  const free = [
    'receivers.otlp.protocols.grpc.endpoint',
    'receivers.otlp.protocols.http.endpoint',
    'service.metrics.endpoint',
    'service.health.endpoint',
    'service.view.endpoint',
  ].map(path => `${path}=127.0.0.1:0`)
  const sets = ['directory=none', ...free, ...settings].flatMap(setting => ['--set', setting])
  const program = begin(process.execPath, [...startFlags(), MAIN, ...sets], { env: startEnvironment() })
  const { child } = program
  // A test that fails before it stops the service must not leave it behind.
  const orphaned = () => void child.kill('SIGKILL')
  process.once('exit', orphaned)
  const ended = program.ended.finally(() => process.off('exit', orphaned))
  await program.line(/Ready\./, READY_MS)
  const port = async (pattern: RegExp) => Number(/:(\d+)(?:\/|$)/.exec(await program.line(pattern))?.[1])
  const [grpcPort, httpPort] = [await port(/gRPC +http:/), await port(/HTTP +http:/)]
  const [metricsPort, healthPort] = [await port(/metrics +http:/), await port(/health +http:/)]
  const status = (name: string) => {
    const text = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]
    if (kib === undefined) throw new Error(`no ${name} in /proc/${child.pid}/status`)
    return (Number(kib) * 1024) / MIB
  }
  return {
    grpcPort,
    httpPort,
    metricsPort,
    resident: () => status('VmRSS'),
    peak: () => status('VmHWM'),
    // 5 sets the peak to what is resident now.
    forgetPeak: () => writeFileSync(`/proc/${child.pid}/clear_refs`, '5'),
    openFiles: () => readdirSync(`/proc/${child.pid}/fd`).length,
    scrape: () => scrapeOf(metricsPort),
    async health() {
      const reply = await fetch(`http://127.0.0.1:${healthPort}/ready`)
      return { status: reply.status, body: await reply.text() }
    },
    isAlive: () => child.exitCode === null && child.signalCode === null,
    said: () => program.stdout() + program.stderr(),
    async stop() {
      child.kill('SIGTERM')
      return await ended
    },
  }
}
