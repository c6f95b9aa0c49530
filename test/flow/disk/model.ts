//! One random history of a queue on a simulated disk, held against a model: what was acknowledged arrives, nothing damaged does, it always starts.
import { AssertionError } from 'node:assert'
import { Registry } from '../../../src/base/counters.ts'
import { renderMetrics } from '../../../src/edge/prometheus.ts'
import { counted } from '../../../src/flow/counted.ts'
import { queueOnDisk } from '../../../src/flow/disk/open.ts'
import { fanout } from '../../../src/flow/fanout.ts'
import { QUEUE_LIMITS, type Queue } from '../../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../../src/flow/retry.ts'
import type { Answer, CheckedBatch, Outcome, Sink } from '../../../src/flow/sink.ts'
import { imbalances, readMetrics, type Scrape } from '../../kit/accounts.ts'
import { machine } from '../../kit/disk.ts'
import {
  BUSY,
  DELIVERED,
  partial,
  REFUSED,
  type ScriptedExporter,
  type Seen,
  scriptedExporter,
} from '../../kit/exporter.ts'
import { recordingLog } from '../../kit/log.ts'
import { between, chance, int, pick, seeded } from '../../kit/random.ts'
import { type SimulatedWorld, simulatedWorld } from '../../kit/world.ts'
import { batchOf } from './batches.ts'
import { faultByChance, settingsByChance } from './by-chance.ts'
import { type Death, Ledger, type Sent } from './ledger.ts'

const DIRECTORY = '/data'
const TIMEOUT_MS = 5000
/** No start takes longer in simulated time. */
const START_MS = 60_000
/** After the last fault everything must be well again within this simulated time, without a restart. */
const WELL_MS = 120_000

interface Boot {
  readonly number: number
  readonly world: SimulatedWorld
  readonly queue: Queue
  readonly sink: Sink<CheckedBatch>
  readonly exporter: ScriptedExporter
  readonly lines: ReturnType<typeof recordingLog>['lines']
  scrape(): Scrape
}

type Mode = 'deliver' | 'busy' | 'hang' | 'refuse' | 'partial' | 'slow'

/** What happened, for the totals that a test prints and for laws about the whole. */
export interface HistoryEnd {
  readonly sent: number
  readonly acknowledged: number
  readonly boots: number
  readonly killedStarting: number
  readonly powerCuts: number
  readonly flips: number
  readonly again: number
  readonly damagedItems: number
}

/** Throws where the model and the queue disagree. */
export async function history(seed: number): Promise<HistoryEnd> {
  // Another one for deaths at a start: without them the history stays as it was.
  const [random, fate] = [seeded(seed), seeded(seed + 2 ** 32)]
  const box = machine(seeded(seed + 0.5))
  const settings = settingsByChance(random)
  const mayFlip = chance(random, 0.3)
  const mayFault = chance(random, 0.6)
  const mayCut = chance(random, 0.6)
  const steps: string[] = [JSON.stringify({ ...settings, mayFlip, mayFault, mayCut })]
  const total = { boots: 0, killedStarting: 0, powerCuts: 0, flips: 0 }
  let mode: Mode = 'deliver'
  let clock: SimulatedWorld
  /** The latest process that was really killed. */
  let killed: { boot: number } & Death = { boot: 0, atMs: 0, kind: 'kill' }
  const note = (step: string) => void steps.push(step)
  let failure: Error | null = null
  /** What is thrown inside an exporter is caught by the queue: it is kept, and thrown again after the step. */
  const fail = (why: string): never => {
    failure ??= new AssertionError({ message: `${why}\n  ${steps.join('\n  ')}` })
    throw failure
  }

  const ledger = new Ledger(settings, fail)
  // The directory is there before the first start; what the queue makes below it is its own affair.
  const formatting = box.boot()
  await formatting.makeDirectory(DIRECTORY)
  await formatting.syncDirectory('/')
  let boot = await start()

  async function start(): Promise<Boot> {
    const number = ++total.boots
    const disk = box.boot()
    const world = { ...simulatedWorld(seed + number), disk } as SimulatedWorld
    clock = world
    const { log, lines } = recordingLog()
    const registry = new Registry()
    const exporter = scriptedExporter(world, request => answer(number, world, request))
    let queue: Queue | null = null
    let problem: unknown = null
    queueOnDisk(
      exporter,
      world,
      log,
      registry,
      {
        ...QUEUE_LIMITS,
        lingerMs: 5,
        retry: { ...RETRY_DEFAULTS, initialIntervalMs: 20, maxIntervalMs: 500 },
        ...settings,
      },
      DIRECTORY,
    ).then(
      opened => (queue = opened),
      error => (problem = error),
    )
    await world.advance(START_MS)
    if (problem !== null) fail(`it does not start: ${(problem as Error).stack}`)
    const scrape = () =>
      readMetrics(renderMetrics(registry, 'prometheus', { version: '1', instanceId: String(number) }))
    // Whoever is killed never gets to the end of it. Nobody else is excused.
    if (killed.boot === number) {
      total.killedStarting++
      box.fault = null
      note(`boot ${number} dies at ${killed.atMs}, while it starts`)
      ledger.bury(number, { ...killed, isStarting: true }, scrape(), lines)
      return start()
    }
    if (queue === null) return fail(`it does not start: nothing has come of it after ${START_MS} ms`)
    const sink = counted(
      fanout({ routes: { traces: [queue], metrics: [queue], logs: [queue] } }),
      world,
      registry,
    )
    return { number, world, queue, sink, exporter, lines, scrape }
  }

  /** What the destination says, after a look at what it was given: nothing by a process that is dead. */
  async function answer(number: number, world: SimulatedWorld, request: Seen): Promise<Answer> {
    if (number === killed.boot) return new Promise(() => {})
    const came = ledger.batchesOf(request, request.bytes)
    const now = mode
    if (now === 'busy') return BUSY
    const arrivals = came.map(each => ledger.came(each, number, world.monotonic()))
    if (now === 'hang') {
      // An exporter ends within its timeout, whatever the destination does.
      await world.sleep(TIMEOUT_MS)
      return BUSY
    }
    if (now === 'slow') await world.sleep(between(random, 1, 300))
    for (const arrival of arrivals) arrival.answeredMs = world.monotonic()
    // A merged request that is refused is taken apart and sent again: it is no delivery until it is refused alone.
    if (now === 'refuse' && came.length > 1) {
      for (const each of came) each.arrivals.pop()
      return REFUSED
    }
    for (const each of came) each.isSettled = true
    return now === 'refuse' ? REFUSED : now === 'partial' ? partial(1, 'one') : DELIVERED
  }

  function balanced() {
    if (failure !== null) throw failure
    const wrong = imbalances(boot.scrape())
    if (wrong.length > 0) fail(`the accounts do not balance: ${wrong.join('; ')}`)
  }

  function send(): Sent {
    const one = ledger.add(batchOf(random, ledger.sent.length))
    const its = boot
    void its.sink.send(one.batch).then((outcome: Outcome) => {
      if (outcome.kind === 'accepted')
        Object.assign(one, { isOwed: true, toldMs: its.world.monotonic(), toldBy: its.number })
      else one.turnedAwayBy = its.number
    })
    return one
  }

  const bury = (death: Death = { kind: 'clean', atMs: boot.world.monotonic() }) =>
    ledger.bury(boot.number, death, boot.scrape(), boot.lines)

  function flip() {
    const files = box.paths().filter(path => (box.content(path)?.length ?? 0) > 0)
    for (let left = between(random, 1, 3); left > 0 && files.length > 0; left--) {
      const path = pick(random, files)
      const content = Buffer.from(box.content(path) as Uint8Array)
      // Whatever else the file holds may be set aside with it.
      for (const each of ledger.sent) if (content.includes(each.batch.bytes)) each.isFlipped = true
      if (!path.endsWith('.log')) ledger.mayComeAgain = true
      const at = int(random, content.length)
      box.flip(path, at, int(random, 8))
      total.flips++
      note(`flip ${path} at ${at} of ${content.length}`)
    }
  }

  /** A fault for the next calls of some kinds. */
  function spoil(): void {
    ledger.fault()
    const { text, hook } = faultByChance(random)
    box.fault = hook
    note(text)
  }

  const heal = () => {
    box.fault = null
    box.syncing = null
    ledger.isSlow = false
    box.capacityBytes = Number.POSITIVE_INFINITY
  }

  function end(isCut: boolean, by = random) {
    if (killed.boot !== total.boots) {
      killed = { boot: total.boots, atMs: clock.monotonic(), kind: isCut ? 'power' : 'kill' }
      total.powerCuts += isCut ? 1 : 0
    }
    if (!isCut) return box.kill()
    ledger.mayComeAgain = true
    box.powerCut(by)
  }

  /** It ends at one of the next calls of the disk. */
  function endWithin(calls: number, isCut: boolean, by = random) {
    let left = int(by, calls)
    box.fault = () => {
      if (left-- === 0) end(isCut, by)
      return null
    }
  }

  /** The end of a process, now or at one of its next calls of the disk, and sometimes that of the next while it starts. */
  async function die() {
    const isCut = mayCut && chance(random, 0.5)
    if (chance(random, 0.5)) {
      endWithin(12, isCut)
      for (let n = between(random, 0, 5); n > 0; n--) send()
      await boot.world.advance(between(random, 0, 1000))
    }
    heal()
    end(isCut)
    note(`boot ${boot.number} dies at ${killed.atMs}${isCut ? ' with the power' : ''}`)
    bury(killed)
    if (mayFlip && chance(random, 0.7)) flip()
    if (mayFault && chance(random, 0.2)) spoil()
    const isEnding = box.fault === null && chance(fate, 0.3)
    if (isEnding) endWithin(12, mayCut && chance(fate, 0.5), fate)
    boot = await start()
    if (isEnding) box.fault = null
    note(`boot ${boot.number}`)
  }

  /** From here on no sync succeeds, and some more is sent. */
  async function failSyncs() {
    ledger.fault()
    box.fault = ({ op }) => (op === 'sync' ? { code: 'EIO' } : null)
    note('syncs fail')
    for (let n = between(random, 1, 3); n > 0; n--) send()
    await boot.world.advance(pick(random, [1, 30, 3000]))
  }

  async function restart(isSpoilt = mayFlip && chance(random, 0.3)) {
    const closing = boot.queue.close(boot.world.monotonic() + between(random, 0, 3000))
    let lost = -1
    let closedMs = 0
    void closing.then(undelivered => {
      lost = undelivered.reduce((sum, { items }) => sum + items, 0)
      closedMs = boot.world.monotonic()
    })
    await boot.world.advance(10_000)
    if (lost < 0) fail('it does not close')
    // Only what no sync has covered when its sender was told can be lost to a disk that fails, and it is told of.
    if (lost > 0 && !(settings.acknowledge === 'memory' && ledger.wasFaulty))
      fail(`closing lost ${lost} items that were on disk`)
    balanced()
    note(`boot ${boot.number} is closed at ${closedMs}`)
    bury({ kind: 'clean', atMs: closedMs })
    // An end in peace has synced what it leaves, but what its start could not read. It does not wait for ever for a slow disk.
    if (mayCut && box.syncing === null && chance(random, 0.5) && !ledger.hasLeft) {
      ledger.mayComeAgain = true
      box.powerCut(random)
      total.powerCuts++
      note('and then the power fails')
    }
    if (isSpoilt) flip()
    // What was wrong with the disk still is.
    ledger.isShaky = box.fault !== null || box.syncing !== null || Number.isFinite(box.capacityBytes)
    boot = await start()
    note(`boot ${boot.number}`)
  }

  for (let left = between(random, 5, 40); left > 0; left--) {
    const step = random()
    if (step < 0.45) {
      const many = between(random, 1, 6)
      for (let n = many; n > 0; n--) send()
      note(`send ${ledger.sent.length - many} to ${ledger.sent.length - 1} at ${boot.world.monotonic()}`)
      await boot.world.advance(pick(random, [0, 1, 30]))
    } else if (step < 0.65) {
      await boot.world.advance(pick(random, [5, 50, 700, 5000]))
    } else if (step < 0.8) {
      mode = pick(random, ['deliver', 'deliver', 'busy', 'busy', 'hang', 'refuse', 'partial', 'slow'])
      note(mode)
    } else if (step < 0.87 && mayFault) {
      if (chance(random, 0.3)) {
        box.capacityBytes =
          box.paths().reduce((sum, path) => sum + (box.content(path)?.length ?? 0), 0) + int(random, 5000)
        ledger.fault()
        note('the disk is full')
      } else if (chance(random, 0.2)) {
        // A stop does not wait for ever until a slow disk has noted what was delivered last.
        ledger.mayComeAgain = true
        ledger.isShaky = true
        ledger.isSlow = true
        box.syncing = () => clock.sleep(500)
        note('syncs are slow')
      } else spoil()
    } else if (step < 0.92) heal()
    else if (step < 0.97) await die()
    else {
      if (mayFault && chance(random, 0.5)) await failSyncs()
      await restart()
    }
    balanced()
  }

  // The end: everything is well, and what is owed comes, sometimes without another start.
  heal()
  mode = 'deliver'
  note('all is well')
  if (chance(random, 0.7)) await die()
  heal()
  await boot.world.advance(WELL_MS)
  balanced()
  const last = send()
  await boot.world.advance(WELL_MS)
  if (!last.isOwed || !last.isSettled) fail('after the last fault it does not take and deliver what comes')
  balanced()
  // What could not be read at a start is left for the next one.
  await restart(false)
  await boot.world.advance(WELL_MS)
  balanced()
  const scrape = boot.scrape()
  for (const what of ['queued', 'in_flight'])
    for (const items of ['spans', 'metric_points', 'log_records'])
      if (scrape.sum(`otlier_exporter_${what}_${items}`) !== 0)
        fail(`${scrape.sum(`otlier_exporter_${what}_${items}`)} ${items} are still ${what}`)
  bury()
  ledger.judge(total.flips === 0 && total.powerCuts === 0 && !ledger.wasFaulty)
  const { sent, again, damagedItems } = ledger
  const acknowledged = sent.filter(({ isOwed }) => isOwed).length
  return { ...total, sent: sent.length, acknowledged, again, damagedItems }
}
