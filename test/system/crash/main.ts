//! `npm run test:crash`: kill -9 at random instants under load. `--kills N`, 1000 by default; `--seed N` replays the instants; `--storage memory` shows what is lost without a disk.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { SIGNALS } from '../../../src/flow/sink.ts'
import { acceptedItems, differences, exporterBooks, imbalances, type Scrape } from '../../kit/accounts.ts'
import { itemsOf, type Waiting, waitingRecords } from '../../kit/queue-walk.ts'
import { between, chance, pick, seeded } from '../../kit/random.ts'
import { clockMs } from '../load/answering.ts'
import { compareLogs, type Life, told } from '../load/books.ts'
import { idsIn } from '../load/ids.ts'
import { beginOtlier, type OtlierProcess, type Ports, startOtlierProcess } from '../load/otlier.ts'
import { destination, startRecorder, startSender } from '../load/parts.ts'
import { type Behaviour, LIFE_HEADER } from '../load/recorder.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now()) },
    storage: { type: 'string', default: 'disk' },
  },
})
const KILLS = Number(values.kills)
const SEED = Number(values.seed)
if (!(KILLS > 0) || !Number.isSafeInteger(SEED)) throw new Error('--kills and --seed are whole numbers')

/** One kill in so many comes while Otlier is starting. */
const AT_START = 0.1
const START_MS = 600
/** Otherwise so long after it was ready. */
const LIVES_MS = [200, 3000] as const
/** A kill that always came with the answer to a scrape would come at no random instant. */
const AFTER_SCRAPE_MS = 100
const DRAINED_MS = 120_000
/** Of so many kills some come between a delivery and its record. */
const ENOUGH_KILLS = 20
/** A life lasts a second and a half, with 2,000 spans a second: less than this means that hardly anything was tried. */
const LEAST_ACKNOWLEDGED = 500

/** What the backend is like during one life. In all of them some requests have no answer at the kill. */
const OK: Behaviour = { reply: { kind: 'ok' }, delayMs: 5 }
const BEHAVIOURS: readonly Behaviour[] = [
  OK,
  { reply: { kind: 'ok' }, delayMs: 200 },
  { reply: { kind: 'status', code: 14 }, share: 0.7, delayMs: 5 },
  { reply: { kind: 'status', code: 14 } },
  { reply: { kind: 'hang' }, share: 0.2 },
]

const random = seeded(SEED)
const folder = mkdtempSync(join(tmpdir(), 'otlier-crash-'))
const problems: string[] = []
const lives: Life[] = []
console.log(`${KILLS} kills, --seed ${SEED}`)
const recorder = await startRecorder(folder, 'backend', { behaviour: OK })
/** Each process says with all that it sends which one it is. */
const settings = () => [
  `directory=${join(folder, 'state')}`,
  ...destination(recorder, 'otlp', [
    // A request that hangs is to be open at the kill, not sent again by itself.
    'timeout=60s',
    `headers.${LIFE_HEADER}=${lives.length}`,
    'retry_on_failure.initial_interval=50ms',
    'retry_on_failure.max_interval=500ms',
    ...(values.storage === 'disk' ? ['sending_queue.storage=disk', 'sending_queue.acknowledge=durable'] : []),
  ]),
]
let otlier = await startOtlierProcess(settings())
const ports: Ports = otlier
const sender = await startSender(folder, 'sender', {
  grpcPort: ports.grpc,
  httpPort: ports.http,
  spansPerSecond: 2000,
  spansPerRequest: 10,
  connections: 8,
})

/** Returns what then waits on its disk, by a walk over the files. */
async function kill({ process }: Pick<OtlierProcess, 'process'>): Promise<Waiting> {
  process.kill('SIGKILL')
  await process.ended
  const endMs = clockMs()
  const records = [...waitingRecords(join(folder, 'state', 'queue', 'otlp'))]
  lives.push({ endMs, waiting: records.flatMap(({ request }) => idsIn(request)) })
  return itemsOf(records)
}

/** The accounts of the moment, all of which must balance. */
async function scraped(when: string) {
  const scrape = await otlier.scrape()
  for (const wrong of imbalances(scrape)) problems.push(`${when}: ${wrong}`)
  return scrape
}

/** What the queue says that it has found is what a walk over its files finds, before it is started. */
function compareWalk(walked: Waiting, scrape: Scrape) {
  for (const [at, signal] of SIGNALS.entries()) {
    const { recovered } = exporterBooks(scrape, 'otlp', signal)
    if (recovered !== walked[at])
      problems.push(`after kill ${lives.length}: ${recovered} ${signal} found, and ${walked[at]} by a walk`)
  }
}

await sender.go()
const beganMs = clockMs()
let slowestStartMs = 0
let recovered = 0
while (lives.length < KILLS) {
  await recorder.behave(pick(random, BEHAVIOURS))
  await sleep(between(random, ...LIVES_MS))
  await scraped(`before kill ${lives.length + 1}`)
  await sleep(between(random, 0, AFTER_SCRAPE_MS))
  let walked = await kill(otlier)
  while (lives.length < KILLS && chance(random, AT_START)) {
    const starting = beginOtlier(settings(), { ports })
    await sleep(between(random, 0, START_MS))
    walked = await kill(starting)
  }
  // What hangs in the last life would be sent again by it.
  if (lives.length === KILLS) await recorder.behave(OK)
  const startedMs = clockMs()
  otlier = await startOtlierProcess(settings(), { ports })
  slowestStartMs = Math.max(slowestStartMs, clockMs() - startedMs)
  const scrape = await scraped(`after kill ${lives.length}`)
  if (values.storage === 'disk') compareWalk(walked, scrape)
  recovered += exporterBooks(scrape, 'otlp', 'traces').recovered
  if (lives.length % 25 === 0) console.log(`${lives.length} kills, ${problems.length} problems`)
}

// The end: everything is answered, and everything is delivered.
await sender.halt()
const sent = await sender.settled(DRAINED_MS)
const deadlineMs = clockMs() + DRAINED_MS
for (;;) {
  const { queued, inFlight } = exporterBooks(await scraped('at the end'), 'otlp', 'traces')
  if (queued + inFlight === 0) break
  if (clockMs() > deadlineMs) {
    problems.push(`${queued + inFlight} spans are still waiting at the end`)
    break
  }
  await sleep(200)
}
const logs = compareLogs([sender.log], recorder.log, { lives })
console.log(
  `${KILLS} kills in ${((clockMs() - beganMs) / 60_000).toFixed(1)} minutes; ${recovered} spans found in the queue at the starts, ` +
    `of which the slowest took ${slowestStartMs.toFixed(0)} ms; attempts of the sender by answer: ${JSON.stringify(sent.again)}`,
)
console.log(told(logs))
if (logs.lost.length > 0) problems.push(`${logs.lost.length} acknowledged spans were lost`)
if (logs.again.unexplained.length > 0)
  problems.push(`${logs.again.unexplained.length} spans came again without a reason`)
if (logs.unrecorded.length > 0)
  problems.push(`${logs.unrecorded.length} spans waited on disk although their answers had to be recorded`)
if (logs.strangers > 0) problems.push(`${logs.strangers} spans arrived that nobody sent`)
if (sent.refused > 0) problems.push(`${sent.refused} spans were refused for good`)
if (logs.acknowledged !== sent.accepted) problems.push('the log of the sender is not whole')
if (logs.acknowledged < LEAST_ACKNOWLEDGED * KILLS)
  problems.push(`only ${logs.acknowledged} spans were acknowledged`)
if (values.storage === 'disk' && recovered === 0) problems.push('no kill left anything on disk')
// A kill between a delivery and its record is a matter of chance: of a few there may be none.
if (values.storage === 'disk' && KILLS >= ENOUGH_KILLS && logs.again.waited === 0)
  problems.push('no kill left anything on disk that had been sent')
// Without an answer nobody but Otlier knows what it took.
const end = await otlier.scrape()
const accepted = acceptedItems(end, 'traces')
if (accepted < logs.last.accepted || accepted > logs.last.accepted + logs.last.unanswered)
  problems.push(
    `the last life says ${accepted} accepted, its senders ${logs.last.accepted} and ${logs.last.unanswered} unanswered`,
  )
problems.push(
  ...differences(end, 'traces', { destinations: { otlp: { sent: logs.last.sent, rejected: 0, queued: 0 } } }),
)
for (const each of [otlier.process, sender.program, recorder.program]) await each.stop()
if (problems.length === 0) rmSync(folder, { recursive: true, force: true })
else console.log(`the logs and the queue are in ${folder}`)
for (const problem of problems.slice(0, 50)) console.log(`FAIL: ${problem}`)
console.log(
  problems.length === 0
    ? 'the crash test is passed'
    : `the crash test is failed, ${problems.length} problems`,
)
process.exit(problems.length === 0 ? 0 : 1)
