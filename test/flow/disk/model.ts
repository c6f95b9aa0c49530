//! One random history of a queue on a simulated disk, held against a model: what was acknowledged arrives, nothing damaged does, it always starts.
import { AssertionError } from 'node:assert'
import { Registry } from '../../../src/base/counters.ts'
import type { Disk } from '../../../src/base/world.ts'
import { renderMetrics } from '../../../src/edge/prometheus.ts'
import { counted } from '../../../src/flow/counted.ts'
import { queueOnDisk } from '../../../src/flow/disk/open.ts'
import { fanout } from '../../../src/flow/fanout.ts'
import { type Acknowledge, QUEUE_LIMITS, type Queue, type WhenFull } from '../../../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../../../src/flow/retry.ts'
import { type CheckedBatch, type Outcome, SIGNALS, type Signal, type Sink } from '../../../src/flow/sink.ts'
import { imbalances, readMetrics, type Scrape } from '../../kit/accounts.ts'
import { type DiskFault, machine } from '../../kit/disk.ts'
import {
  BUSY,
  DELIVERED,
  partial,
  REFUSED,
  type ScriptedExporter,
  scriptedExporter,
} from '../../kit/exporter.ts'
import { recordingLog } from '../../kit/log.ts'
import { between, chance, int, pick, type Random, seeded } from '../../kit/random.ts'
import { type SimulatedWorld, simulatedWorld } from '../../kit/world.ts'
import { concat, delimited, places } from '../../oracle/bytes.ts'

const DIRECTORY = '/data'
const MIB = 2 ** 20
const TIMEOUT_MS = 5000
/** An answer has so long, in simulated time, until a kill must find it recorded. */
const NOTICE_MS = 500
/** After the last fault everything must be well again within this simulated time, without a restart. */
const WELL_MS = 120_000

/** A batch as its sender knows it. */
interface Sent {
  readonly number: number
  readonly batch: CheckedBatch
  /** Its sender was told that it is safe, and it is as long as the kind of acknowledgement says. */
  isOwed: boolean
  /** It was answered for by the destination: delivered, rejected, or both in part. */
  arrivals: { readonly boot: number; readonly atMs: number; answeredMs: number }[]
  isSettled: boolean
  /** A bit of a file that held it was turned around. */
  isFlipped: boolean
  /** The life in which its sender was told to come again. */
  turnedAwayBy: number
}

interface Boot {
  readonly number: number
  readonly world: SimulatedWorld
  readonly queue: Queue
  readonly sink: Sink<CheckedBatch>
  readonly exporter: ScriptedExporter
  readonly lines: ReturnType<typeof recordingLog>['lines']
  scrape(): Scrape
}

interface Death {
  readonly atMs: number
  readonly isClean: boolean
}

type Mode = 'deliver' | 'busy' | 'hang' | 'refuse' | 'partial' | 'slow'

/** What may happen in a history. All of it unless told otherwise. */
export interface HistoryOptions {
  readonly flips?: boolean
  readonly faults?: boolean
  readonly powerCuts?: boolean
}

/** What happened, for the totals that a test prints and for laws about the whole. */
export interface HistoryEnd {
  readonly sent: number
  readonly acknowledged: number
  readonly boots: number
  readonly powerCuts: number
  readonly flips: number
  readonly again: number
  readonly damagedItems: number
}

/** Throws where the model and the queue disagree. */
export async function history(seed: number, options: HistoryOptions = {}): Promise<HistoryEnd> {
  const random = seeded(seed)
  const box = machine(seeded(seed + 0.5))
  const settings = {
    sizeBytes: pick(random, [0.25, 1, 4]) * MIB,
    whenFull: pick<WhenFull>(random, ['refuse', 'refuse', 'refuse', 'drop_newest', 'drop_oldest']),
    acknowledge: pick<Acknowledge>(random, ['durable', 'durable', 'durable', 'delivered', 'memory']),
    numConsumers: pick(random, [1, 1, 3, 10]),
  }
  const mayFlip = options.flips !== false && chance(random, 0.3)
  const mayFault = options.faults !== false && chance(random, 0.6)
  const mayCut = options.powerCuts !== false && chance(random, 0.6)
  const sent: Sent[] = []
  const byBytes = new Map<string, Sent>()
  const steps: string[] = [JSON.stringify({ ...settings, mayFlip, mayFault, mayCut })]
  const total = { boots: 0, powerCuts: 0, flips: 0, again: 0, damagedItems: 0, droppedItems: 0 }
  let mode: Mode = 'deliver'
  let isUnreadable = false
  /** A segment that could not be read at one start is sent after the next. */
  let isUnordered = false
  let clock: SimulatedWorld
  /** The marks of what has been delivered may have been lost, too. */
  let mayComeAgain = false
  let wasFaulty = false
  // The directory is there before the first start; what the queue makes below it is its own affair.
  const formatting = box.boot()
  await formatting.makeDirectory(DIRECTORY)
  await formatting.syncDirectory('/')
  let boot = await start()

  const note = (step: string) => void steps.push(step)
  let failure: Error | null = null
  /** What is thrown inside an exporter is caught by the queue: it is kept, and thrown again after the step. */
  const fail = (why: string): never => {
    failure ??= new AssertionError({ message: `${why}\n  ${steps.join('\n  ')}` })
    throw failure
  }

  async function start(): Promise<Boot> {
    const number = ++total.boots
    const disk: Disk = box.boot()
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
    // A process that dies during its start never gets to the end of it.
    await world.advance(60_000)
    if (problem !== null) fail(`it does not start: ${(problem as Error).stack}`)
    if (queue === null) {
      steps.push('died while starting')
      box.fault = null
      return start()
    }
    const sink = counted(fanout({ traces: [queue], metrics: [queue], logs: [queue] }), world, registry)
    const scrape = () =>
      readMetrics(renderMetrics(registry, 'prometheus', { version: '1', instanceId: String(number) }))
    return { number, world, queue, sink, exporter, lines, scrape }
  }

  /** What the destination says, after a look at what it was given. */
  async function answer(
    number: number,
    world: SimulatedWorld,
    request: { bytes: Uint8Array; signal: Signal },
  ) {
    const whole = places(request.bytes).map(({ start, end }) => request.bytes.subarray(start, end))
    const came = whole.map(part => byBytes.get(`${request.signal} ${Buffer.from(part).toString('latin1')}`))
    if (came.some(each => each === undefined)) fail(`boot ${number}: bytes were delivered that nobody sent`)
    const now = mode
    if (now === 'busy') return BUSY
    const arrivals = (came as Sent[]).map(each => {
      noteArrival(each, number, world)
      const arrival = { boot: number, atMs: world.monotonic(), answeredMs: Number.POSITIVE_INFINITY }
      each.arrivals.push(arrival)
      return arrival
    })
    if (now === 'hang') {
      // An exporter ends within its timeout, whatever the destination does.
      await world.sleep(TIMEOUT_MS)
      return BUSY
    }
    if (now === 'slow') await world.sleep(between(random, 1, 300))
    for (const arrival of arrivals) arrival.answeredMs = world.monotonic()
    // A merged request that is refused is taken apart and sent again: it is no delivery until it is refused alone.
    if (now === 'refuse' && came.length > 1) {
      for (const each of came as Sent[]) each.arrivals.pop()
      return REFUSED
    }
    for (const each of came as Sent[]) each.isSettled = true
    return now === 'refuse' ? REFUSED : now === 'partial' ? partial(1, 'one') : DELIVERED
  }

  function noteArrival(each: Sent, number: number, world: SimulatedWorld) {
    if (each.turnedAwayBy === number) fail(`batch ${each.number} was turned away, and delivered`)
    const before = each.arrivals.at(-1)
    if (before === undefined) return
    total.again++
    const isAnswered = before.answeredMs < Number.POSITIVE_INFINITY
    if (before.boot === number) {
      if (isAnswered)
        fail(
          `batch ${each.number} was delivered twice in boot ${number}, at ${before.atMs} and ${world.monotonic()}`,
        )
      return
    }
    if (!isAnswered || mayComeAgain || wasFaulty) return
    const { atMs, isClean } = deaths.get(before.boot) as Death
    if (before.answeredMs < atMs - (isClean ? 0 : NOTICE_MS))
      fail(
        `batch ${each.number} came again in boot ${number}; it was answered at ${before.answeredMs} in boot ${before.boot}, which ended at ${atMs}`,
      )
  }

  const deaths = new Map<number, Death>()

  function balanced() {
    if (failure !== null) throw failure
    const wrong = imbalances(boot.scrape())
    if (wrong.length > 0) fail(`the accounts do not balance: ${wrong.join('; ')}`)
  }

  function send() {
    const number = sent.length
    const batch = batchOf(random, number)
    const one: Sent = {
      number,
      batch,
      isOwed: false,
      arrivals: [],
      isSettled: false,
      isFlipped: false,
      turnedAwayBy: 0,
    }
    sent.push(one)
    byBytes.set(`${batch.signal} ${Buffer.from(batch.bytes).toString('latin1')}`, one)
    const its = boot
    void its.sink.send(batch).then((outcome: Outcome) => {
      if (outcome.kind === 'accepted') one.isOwed = true
      else one.turnedAwayBy = its.number
    })
  }

  /** The process has died. What it had counted is added to the totals; what was not promised to outlive it is not owed. */
  function bury(isClean: boolean, atMs = boot.world.monotonic()) {
    const scrape = boot.scrape()
    deaths.set(boot.number, { atMs, isClean })
    for (const signal of ['spans', 'metric_points', 'log_records']) {
      total.damagedItems += scrape.sum(`otlier_exporter_dropped_${signal}_total`, { reason: 'damaged' })
      total.droppedItems += scrape.sum(`otlier_exporter_dropped_${signal}_total`, { reason: 'queue_full' })
      total.droppedItems += scrape.sum(`otlier_exporter_enqueue_failed_${signal}_total`, {
        reason: 'queue_full',
      })
    }
    const said = (words: string) => boot.lines.some(({ message }) => message.includes(words))
    if (boot.lines.some(({ fields }) => fields['items'] === 'unknown')) isUnreadable = true
    if (said('left for the next start')) isUnordered = true
    // A disk that fails while nobody waits for it cannot keep what it was not asked to keep.
    if ((!isClean || wasFaulty) && settings.acknowledge === 'memory')
      for (const each of sent) each.isOwed = false
  }

  function flip() {
    const files = box.paths().filter(path => (box.content(path)?.length ?? 0) > 0)
    for (let left = between(random, 1, 3); left > 0 && files.length > 0; left--) {
      const path = pick(random, files)
      const content = Buffer.from(box.content(path) as Uint8Array)
      // Whatever else the file holds may be set aside with it.
      for (const each of sent) if (content.includes(each.batch.bytes)) each.isFlipped = true
      if (!path.endsWith('.log')) mayComeAgain = true
      const at = int(random, content.length)
      box.flip(path, at, int(random, 8))
      total.flips++
      note(`flip ${path} at ${at} of ${content.length}`)
    }
  }

  /** A fault for the next calls of some kinds. */
  function spoil() {
    wasFaulty = true
    const ops = pick(random, [
      ['sync'],
      ['write'],
      ['open'],
      ['syncDirectory'],
      ['read'],
      ['remove', 'rename', 'truncate'],
      null,
    ])
    const code = pick(random, ['EIO', 'EACCES', 'ENOSPC', 'EROFS', 'EMFILE'] as const)
    let left = pick(random, [1, 2, 5, Number.POSITIVE_INFINITY])
    const fault: DiskFault = { code, wroteBytes: int(random, 2000) }
    box.fault = ({ op }) => ((ops === null || ops.includes(op)) && left-- > 0 ? fault : null)
    note(`fault ${code} on ${ops ?? 'everything'}, ${left} times`)
  }

  const heal = () => {
    box.fault = null
    box.syncing = null
    box.capacityBytes = Number.POSITIVE_INFINITY
  }

  /** The end of a process, now or at one of its next calls of the disk. */
  async function die() {
    const isCut = mayCut && chance(random, 0.5)
    let diedMs: number | null = null
    const end = () => {
      diedMs ??= boot.world.monotonic()
      if (isCut) box.powerCut(random)
      else box.kill()
    }
    if (isCut) mayComeAgain = true
    if (chance(random, 0.5)) {
      let left = int(random, 12)
      box.fault = () => {
        if (left-- === 0) end()
        return null
      }
      for (let n = between(random, 0, 5); n > 0; n--) send()
      await boot.world.advance(between(random, 0, 1000))
    }
    heal()
    end()
    total.powerCuts += isCut ? 1 : 0
    note(`boot ${boot.number} dies at ${diedMs}${isCut ? ' with the power' : ''}`)
    bury(false, diedMs ?? 0)
    if (mayFlip && chance(random, 0.7)) flip()
    if (mayFault && chance(random, 0.2)) spoil()
    boot = await start()
    note(`boot ${boot.number}`)
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
    if (lost !== 0) fail(lost < 0 ? 'it does not close' : `closing lost ${lost} items that were on disk`)
    balanced()
    note(`boot ${boot.number} is closed at ${closedMs}`)
    bury(true, closedMs)
    if (isSpoilt) flip()
    boot = await start()
    note(`boot ${boot.number}`)
  }

  for (let left = between(random, 5, 40); left > 0; left--) {
    const step = random()
    if (step < 0.45) {
      const many = between(random, 1, 6)
      for (let n = many; n > 0; n--) send()
      note(`send ${sent.length - many} to ${sent.length - 1} at ${boot.world.monotonic()}`)
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
        wasFaulty = true
        note('the disk is full')
      } else if (chance(random, 0.2)) {
        // A stop does not wait for ever until a slow disk has noted what was delivered last.
        mayComeAgain = true
        box.syncing = () => clock.sleep(500)
        note('syncs are slow')
      } else spoil()
    } else if (step < 0.92) heal()
    else if (step < 0.97) await die()
    else await restart()
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
  const last = sent.length
  send()
  await boot.world.advance(WELL_MS)
  if (!sent[last].isOwed || !sent[last].isSettled)
    fail('after the last fault it does not take and deliver what comes')
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
  bury(true)
  judge()
  const acknowledged = sent.filter(({ isOwed }) => isOwed).length
  return { ...total, sent: sent.length, acknowledged }

  function judge() {
    const missing = sent.filter(each => each.isOwed && !each.isSettled)
    const unexcused = missing.filter(({ isFlipped }) => !isFlipped)
    const items = (list: readonly Sent[]) => list.reduce((sum, { batch }) => sum + batch.items, 0)
    if (settings.whenFull === 'refuse' && unexcused.length > 0)
      fail(`acknowledged batches are lost: ${unexcused.map(({ number }) => number)}`)
    if (items(unexcused) > total.droppedItems)
      fail(`${items(unexcused)} items are lost, and ${total.droppedItems} are told of`)
    if (!isUnreadable && items(missing) > total.droppedItems + total.damagedItems)
      fail(`${items(missing)} items are lost, and ${total.damagedItems} are said to be damaged`)
    if (total.flips === 0 && total.powerCuts === 0 && !wasFaulty && total.damagedItems > 0)
      fail(`${total.damagedItems} items are said to be damaged, and nothing was`)
    if (settings.numConsumers === 1 && settings.whenFull === 'refuse' && !isUnordered) ordered()
  }

  /** With one consumer, what arrived did so in the order in which it had come, signal by signal. */
  function ordered() {
    for (const signal of SIGNALS) {
      let latest: Sent | null = null
      for (const each of sent) {
        const [first] = each.arrivals
        if (each.batch.signal !== signal || first === undefined || !each.isOwed || each.isFlipped) continue
        const [before] = latest?.arrivals ?? []
        if (
          before !== undefined &&
          (first.boot < before.boot || (first.boot === before.boot && first.atMs < before.atMs))
        )
          fail(`batch ${each.number} arrived before ${latest?.number}`)
        latest = each
      }
    }
  }
}

function batchOf(random: Random, number: number): CheckedBatch {
  const signal = pick(random, SIGNALS)
  const items = between(random, 1, 3)
  const filler = 'x'.repeat(pick(random, [0, 50, 2000, 2000, 20_000]))
  const bytes = delimited(
    1,
    delimited(
      2,
      concat(
        Array.from({ length: items }, (_, at) =>
          delimited(2, delimited(5, `batch ${number} item ${at} ${filler}`)),
        ),
      ),
    ),
  )
  const headers = chance(random, 0.2) ? { tenant: `t${number % 2}` } : {}
  return { signal, bytes, headers, items, receivedMs: 0 }
}
