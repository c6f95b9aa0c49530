//! `otlier demo`: a simulated shop sends real telemetry to a real Otlier, faults come and go, and incidents are told as they open.
import { formatListen } from '../../base/endpoints.ts'
import { nearest } from '../../base/nearest.ts'
import { parseDuration } from '../../base/numbers.ts'
import { number } from '../../base/words.ts'
import { realWorld, type World } from '../../base/world.ts'
import type { Config } from '../../config.ts'
import { type Arguments, readArguments, UsageError } from '../arguments.ts'
import { COMMANDS } from '../help.ts'
import { loadConfig, realSurroundings } from '../load-config.ts'
import { type OpenLog, openLog } from '../logger.ts'
import { catchBugs, type Running } from '../run.ts'
import { SAME_SIGNAL_MS, STOP_SIGNALS, type StopSignal } from '../signals.ts'
import { VERSION } from '../version.ts'
import { MOST_FOR_MS, takeWishes, usualSocket, type Wish, wishFor } from './control.ts'
import { FAULT_NAMES, type FaultName, type Injection, isFaultName, scheduled } from './faults.ts'
import { Feed, scoreWords } from './feed.ts'
import { passOver } from './pass-over.ts'
import { type Posts, takePosts } from './posts.ts'
import { saidIn } from './said.ts'
import { Scorecard } from './scorecard.ts'
import { Shop } from './shop.ts'
import { SERVICES } from './topology.ts'
import type { Progress, Traffic } from './traffic.ts'

/** Requests from outside, a second. */
export const PER_SECOND = 10
/** So much of the past is sent before anything goes wrong. */
export const HISTORY_MS = 30 * 60_000
/** Otlier's configuration: nothing is kept, all ports are free ones, and windows are short, so that incidents open sooner. */
export const SETTINGS = [
  'directory=none',
  'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
  'receivers.otlp.protocols.http.endpoint=none',
  'service.metrics.endpoint=none',
  'service.health.endpoint=none',
  'service.view.endpoint=127.0.0.1:0',
  'service.logs.level=error',
  'processors.otlier.window=5s',
  'processors.otlier.trace_wait=2s',
  'processors.otlier.allowed_lateness=2s',
]

const TICK_MS = 200
/** A machine that slept, or is that far behind, does not make up for it. */
const MOST_BEHIND_MS = 10_000
const MOST_SEED = 2 ** 31
const MOST_RUN_MS = 7 * 24 * 3_600_000
/** Faults that are there at the same moment; beyond it none can be asked for. */
const MOST_AT_ONCE = 20
const DEFAULT_FAULT = '30s'

interface Options {
  /** Null: until somebody ends it. */
  readonly forMs: number | null
  readonly seed: number
  /** Only faults that are asked for. */
  readonly calm: boolean
  readonly socket: string
}

export async function demo(args: readonly string[]): Promise<number> {
  const parsed = readArguments(args, COMMANDS.demo.options, 'inject NAME')
  const [action, name, ...rest] = parsed.positionals
  const socket = parsed.one('socket') ?? usualSocket(process.env['XDG_RUNTIME_DIR'])
  if (action === 'inject' && rest.length === 0) return inject(readInject(name, parsed), socket)
  if (action !== undefined) throw new UsageError('it is: otlier demo, or otlier demo inject NAME')
  const seed = Number(parsed.one('seed') ?? 1)
  if (!Number.isInteger(seed) || seed < 0 || seed > MOST_SEED)
    throw new UsageError(`--seed is a whole number from 0 to ${MOST_SEED}`)
  const forMs = parsed.one('for') === null ? null : readFor(parsed, '', MOST_RUN_MS)
  return show({ forMs, seed, calm: parsed.has('calm'), socket }, realWorld)
}

function readInject(name: string | undefined, parsed: Arguments): Wish {
  if (name !== undefined && isFaultName(name)) {
    const wrong = ['seed', 'calm'].find(option => parsed.has(option))
    if (wrong !== undefined) throw new UsageError(`--${wrong} belongs to the demo and not to inject`)
    return { name, forMs: readFor(parsed, DEFAULT_FAULT, MOST_FOR_MS) }
  }
  const near = name === undefined ? null : nearest(name, FAULT_NAMES)
  const known = near === null ? `known: ${FAULT_NAMES.join(', ')}` : `did you mean ${near}?`
  throw new UsageError(
    name === undefined ? `inject what? ${known}` : `there is no fault ${JSON.stringify(name)}; ${known}`,
  )
}

function readFor(parsed: Arguments, initial: string, mostMs: number): number {
  const text = parsed.one('for') ?? initial
  const ms = parseDuration(text)
  if (ms === null || ms < 1000 || ms > mostMs)
    throw new UsageError(
      `--for ${JSON.stringify(text)} is no time from 1s to ${mostMs / 3_600_000}h, such as 30s`,
    )
  return ms
}

async function inject(wish: Wish, socket: string): Promise<number> {
  const why = await wishFor(wish, socket)
  if (why === null) console.log(`${wish.name} for ${wish.forMs / 1000} s; watch the demo.`)
  else console.error(`otlier: ${why}`)
  return why === null ? 0 : 1
}

async function show(options: Options, world: World): Promise<number> {
  const { seed, socket } = options
  const isTerminal = process.stdout.isTTY === true
  const print = (line: string) => console.log(line)
  print(
    `otlier demo: a shop of ${SERVICES.length} services, simulated, sends its spans to a real Otlier. Seed ${seed}.`,
  )
  const opened = openLog('error', process.stderr.isTTY === true)
  catchBugs(opened)
  const stop = listenToSignals(world)
  const feed = new Feed(print, isTerminal && !process.env['NO_COLOR'])
  const stage = new Stage(feed, world)
  const events = await takePosts(null, body => {
    for (const said of saidIn(body)) stage.hear(said)
    return { status: 200, text: '{}' }
  })
  const { running, port } = await startHere(events.port, opened, world)
  const wishes = await takeWishes(socket, wish => stage.wish(wish))
  const shut = async () => {
    await running.stop()
    await events.stop()
    if (typeof wishes !== 'string') await wishes.stop()
  }
  for (const line of welcome(running, port, wishes, options)) print(line)
  const traffic = await openTraffic(seed, port, world.now() - HISTORY_MS)
  try {
    await learn(traffic, world, stop, isTerminal)
    if (!stop.aborted) await live(traffic, stage, options, world, stop)
    for (const line of ['', ...scoreWords(stage.card.score(world.now())), '']) print(line)
    return 0
  } catch (error) {
    console.error(`otlier: the demo cannot go on: ${(error as Error).message}`)
    return 1
  } finally {
    await traffic.close().catch(() => {})
    await shut()
    opened.flush()
  }
}

/** Otlier in this process, as `otlier run` starts it, with its events coming back by OTLP. */
async function startHere(
  eventsPort: number,
  { log }: OpenLog,
  world: World,
): Promise<{ running: Running; port: number }> {
  const { startOtlier } = await import('../../otlier.ts')
  const running = await startOtlier(await configuration(eventsPort), {
    world,
    log,
    version: VERSION,
    directory: null,
  })
  const port = running.listening['receivers.otlp.protocols.grpc.endpoint']?.port ?? 0
  return { running, port }
}

/** Variables of OpenTelemetry do not count: nobody wants a simulated shop in the backend that they lead to. */
async function configuration(eventsPort: number): Promise<Config> {
  const events = [
    `exporters.otlphttp/feed.endpoint=http://127.0.0.1:${eventsPort}`,
    'exporters.otlphttp/feed.encoding=json',
    'exporters.otlphttp/feed.compression=none',
    // Spans are counted, and let go.
    'exporters.debug={}',
    'service.pipelines.traces.exporters=[debug]',
    'service.pipelines.logs.exporters=[otlphttp/feed]',
  ]
  const flags = { config: [], set: [...SETTINGS, ...events], portOffset: null }
  const { config, problems } = await loadConfig(flags, { ...realSurroundings(), variables: {} })
  const wrong = problems.filter(({ severity }) => severity === 'error')
  if (wrong.length > 0) throw new Error(`the demo's own configuration is wrong: ${JSON.stringify(wrong)}`)
  return config
}

async function openTraffic(seed: number, port: number, fromMs: number): Promise<Traffic> {
  // A proxy has no business between two ends in one process. It is read when the first connection is made.
  process.env['no_grpc_proxy'] = '127.0.0.1'
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc')
  const { Traffic } = await import('./traffic.ts')
  const exporter = new OTLPTraceExporter({ url: `http://127.0.0.1:${port}` })
  return new Traffic(new Shop(seed, PER_SECOND), exporter, fromMs)
}

function welcome(
  running: Running,
  port: number,
  wishes: Posts | string,
  { socket, calm }: Options,
): string[] {
  const view = running.listening['service.view.endpoint']
  // A command that works where this one was typed.
  const isNpm = process.env['npm_lifecycle_event'] === 'demo'
  const [otlier, otlierDemo] = isNpm ? ['npm start --', 'npm run demo --'] : ['otlier', 'otlier demo']
  const own = socket === usualSocket(process.env['XDG_RUNTIME_DIR']) ? '' : ` --socket ${socket}`
  return [
    `  OTLP/gRPC on 127.0.0.1:${port}. Nothing leaves this machine, and nothing is kept.`,
    ...(view == null
      ? []
      : [`  Why?  ${otlier} explain INCIDENT --set service.view.endpoint=${formatListen(view)}`]),
    typeof wishes === 'string'
      ? `  Faults on demand are off: ${wishes}.`
      : `  A fault on demand:  ${otlierDemo} inject NAME --for 30s${own}`,
    `  ${calm ? 'Faults' : 'Faults, which also come by themselves'}: ${FAULT_NAMES.join(', ')}.`,
    '  Ctrl-C ends it with a scorecard.',
    '',
  ]
}

/** Sends the past. One line, written over where it can be. */
async function learn(traffic: Traffic, world: World, stop: AbortSignal, isTerminal: boolean): Promise<void> {
  const beganMs = world.monotonic()
  const fromMs = world.now() - HISTORY_MS
  let skippedMs = 0
  let told = 0
  function tell({ spans, untilMs }: Progress, toMs: number) {
    const share = Math.min(1, (untilMs - fromMs) / HISTORY_MS)
    const text = `learning: ${Math.round(100 * share)} % of ${minutes(HISTORY_MS)} of history, ${number(spans)} spans`
    if (isTerminal) process.stdout.write(`\r\u001b[K${text}`)
    else if (share >= told + 0.25) {
      told = share
      console.log(text)
    }
    const tookMs = world.monotonic() - beganMs
    const skipMs = passOver(tookMs, untilMs - fromMs - skippedMs, toMs - untilMs)
    if (skipMs === 0) return
    skippedMs += skipMs
    traffic.skipTo(untilMs + skipMs)
  }
  for (let toMs = world.now(); !stop.aborted; toMs = world.now()) {
    await traffic.history(toMs, progress => tell(progress, toMs), stop)
    // Sending it took its time.
    if (world.now() - toMs <= TICK_MS) break
  }
  const seconds = ((world.monotonic() - beganMs) / 1000).toFixed(1)
  const left = skippedMs === 0 ? '' : `; this machine is busy, and ${minutes(skippedMs)} were passed over`
  const done = `learned from ${minutes(HISTORY_MS - skippedMs)} of history, ${number(traffic.spans)} spans, in ${seconds} s${left}`
  console.log(isTerminal ? `\r\u001b[K${done}` : done)
}

const minutes = (ms: number) => `${Math.round(ms / 60_000)} minutes`

/** The shop works and things go wrong, until `stop` or until the time is over. */
async function live(
  traffic: Traffic,
  stage: Stage,
  { forMs, calm }: Options,
  world: World,
  stop: AbortSignal,
): Promise<void> {
  const liveMs = world.now()
  stage.isLive = true
  let doneMs = liveMs
  let turn = 0
  while (!stop.aborted && (forMs === null || world.now() < liveMs + forMs)) {
    const nowMs = world.now()
    if (nowMs - doneMs > MOST_BEHIND_MS) traffic.skipTo(nowMs)
    doneMs = nowMs
    const next = scheduled(turn, liveMs)
    if (!calm && nowMs >= next.beginMs) {
      turn++
      stage.begin(next.name, next.endMs - next.beginMs)
    }
    traffic.work(nowMs, stage.active(nowMs))
    await world.sleep(TICK_MS, stop)
  }
}

/** What is going on: faults that are there, and what is said about them. */
class Stage {
  readonly card = new Scorecard()
  /** The past has been sent. */
  isLive = false
  readonly #feed: Feed
  readonly #world: World
  #active: Injection[] = []

  constructor(feed: Feed, world: World) {
    this.#feed = feed
    this.#world = world
  }

  hear(said: ReturnType<typeof saidIn>[number]): void {
    const nowMs = this.#world.now()
    this.card.hear(said, nowMs)
    this.#feed.hear(said, nowMs)
  }

  /** What was asked for. A sentence where it is not done. */
  wish({ name, forMs }: Wish): string | null {
    if (!this.isLive) return 'the demo is still learning; ask again when it says that it has learned'
    if (this.#active.length >= MOST_AT_ONCE) return `${MOST_AT_ONCE} faults at once are enough`
    this.begin(name, forMs)
    return null
  }

  begin(name: FaultName, forMs: number): void {
    const beginMs = this.#world.now()
    const injection = { name, beginMs, endMs: beginMs + forMs }
    this.#active.push(injection)
    this.card.inject(injection)
    this.#feed.begins(beginMs, injection)
  }

  /** The faults that are there now. */
  active(nowMs: number): readonly Injection[] {
    for (const injection of this.#active) if (injection.endMs <= nowMs) this.#feed.ends(nowMs, injection)
    this.#active = this.#active.filter(({ endMs }) => endMs > nowMs)
    return this.#active
  }
}

/** Aborted by the first signal. One that comes a second later ends the process. */
function listenToSignals(world: World): AbortSignal {
  const stop = new AbortController()
  let firstMs: number | null = null
  for (const signal of Object.keys(STOP_SIGNALS) as StopSignal[]) {
    process.on(signal, () => {
      const nowMs = world.monotonic()
      firstMs ??= nowMs
      if (nowMs - firstMs >= SAME_SIGNAL_MS) process.exit(128 + STOP_SIGNALS[signal])
      stop.abort()
    })
  }
  return stop.signal
}
