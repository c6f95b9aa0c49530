//! `npm run test:soak`: hours of ordinary load with connections that come and go, after which nothing may have grown. `--minutes N`, 60 by default.
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { differences, exporterBooks, imbalances } from '../../kit/accounts.ts'
import { clockMs } from '../load/answering.ts'
import { compareLogs, quantile, told } from '../load/books.ts'
import { startOtlierProcess } from '../load/otlier.ts'
import { destination, startRecorder, startSender } from '../load/parts.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' } } })
const MINUTES = Number(values.minutes)
if (!(MINUTES > 0)) throw new Error(`--minutes ${values.minutes} is no number of minutes`)

const SPANS_PER_SECOND = 2000
const CHURN_PER_SECOND = 20
const SAMPLE_MS = 1000
/** Of the whole time: what is compared with the end, and the end. Of an hour, minutes 10 to 20 and 50 to 60. */
const EARLY = [1 / 6, 2 / 6] as const
const LATE = [5 / 6, 1] as const
const MAX_GROWTH = 1.1
/** Of the load that was meant: a soak of less shows less. */
const LEAST_LOAD = 0.95
const SETTLE_MS = 30_000

interface Sample {
  /** Share of the whole time. */
  readonly at: number
  readonly rssMib: number
  readonly heapMib: number
  readonly cpuUs: number
  readonly spans: number
}

const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]
const cpuPerSpan = (list: readonly Sample[]) => {
  const [from, to] = [list[0], list.at(-1) as Sample]
  return (to.cpuUs - from.cpuUs) / (to.spans - from.spans)
}

const problems: string[] = []
const folder = mkdtempSync(join(tmpdir(), 'otlier-soak-'))
const recorder = await startRecorder(folder, 'backend')
// What has had no answer in time is sent again, and then arrives twice: on a machine that stands still for seconds that is no growth.
const otlier = await startOtlierProcess(['directory=none', ...destination(recorder, 'otlp', ['timeout=60s'])])
const load = {
  grpcPort: otlier.grpc,
  httpPort: otlier.http,
  spansPerSecond: SPANS_PER_SECOND,
  spansPerRequest: 10,
  connections: 8,
  churnPerSecond: CHURN_PER_SECOND,
}

/** What keeps the event loop of Otlier busy when nobody is connected to it but its backend. */
async function resting(wanted: readonly string[] | null): Promise<readonly string[]> {
  const endMs = clockMs() + SETTLE_MS
  for (;;) {
    await sleep(500)
    const { resources } = await otlier.gauges()
    const isSame =
      wanted === null ? clockMs() > endMs - SETTLE_MS + 5000 : String(resources) === String(wanted)
    if (isSame || clockMs() > endMs) return resources
  }
}

// A short load first: what is made once, at the first use, is no growth.
const first = await startSender(folder, 'first', { ...load, firstId: 1 })
await first.go()
await sleep(5000)
await first.halt()
const before = await first.settled()
await first.close()
await first.program.stop()
const restingBefore = await resting(null)

const sender = await startSender(folder, 'sender', { ...load, firstId: 1e6 })
await sender.go()
const beganMs = clockMs()
const samples: Sample[] = []
let tenths = 0

/** What the last tenth of the time was like: where a ratio fails, whether it grew or came with something else on the machine. */
function tellTenth() {
  if ((samples.at(-1) as Sample).at < (tenths + 1) / 10) return
  const own = samples.filter(({ at }) => at >= tenths / 10)
  tenths++
  console.log(
    `${10 * tenths} %: ${median(own.map(({ rssMib }) => rssMib)).toFixed(1)} MiB, ${cpuPerSpan(own).toFixed(1)} us a span, load ${loadavg()[0].toFixed(1)}`,
  )
}
for (let at = 0; at < 1; ) {
  await sleep(SAMPLE_MS)
  at = (clockMs() - beganMs) / (MINUTES * 60_000)
  const [gauges, recorded, scrape] = await Promise.all([
    otlier.gauges(),
    recorder.recorded(),
    otlier.scrape(),
  ])
  samples.push({
    at,
    rssMib: gauges.rssBytes / 2 ** 20,
    heapMib: gauges.heapBytes / 2 ** 20,
    cpuUs: gauges.cpuUs,
    spans: recorded.spans,
  })
  for (const wrong of imbalances(scrape)) problems.push(`at ${at.toFixed(3)}: ${wrong}`)
  tellTenth()
}
await sender.halt()
const sent = await sender.settled()
await sender.close()
await sender.program.stop()

const within = ([from, to]: readonly [number, number]) => samples.filter(({ at }) => at >= from && at <= to)
const [early, late] = [within(EARLY), within(LATE)]

function compare(what: string, unit: string, of: (list: readonly Sample[]) => number, isLimited: boolean) {
  const [from, to] = [of(early), of(late)]
  console.log(
    `${what}: ${from.toFixed(1)} ${unit}, then ${to.toFixed(1)} ${unit}, ratio ${(to / from).toFixed(3)}`,
  )
  if (isLimited && !(to / from <= MAX_GROWTH)) problems.push(`${what} grew by more than ${MAX_GROWTH}`)
}
console.log(
  `${MINUTES} minutes, ${sent.accepted + before.accepted} spans accepted, ${sent.connected} connections made`,
)
for (const [what, made, wanted] of [
  ['spans', sent.accepted, SPANS_PER_SECOND],
  ['connections', sent.connected, CHURN_PER_SECOND],
] as const)
  if (made < LEAST_LOAD * wanted * MINUTES * 60)
    problems.push(`only ${made} ${what} in ${MINUTES} minutes, where ${wanted} a second were meant`)
compare('resident memory, median', 'MiB', list => median(list.map(({ rssMib }) => rssMib)), true)
compare('heap, median', 'MiB', list => median(list.map(({ heapMib }) => heapMib)), false)
compare('CPU per span', 'us', cpuPerSpan, true)

// Everything is delivered, and nobody is connected.
const restingAfter = await resting(restingBefore)
console.log(`active resources: ${restingBefore.length} before, ${restingAfter.length} after`)
if (String(restingAfter) !== String(restingBefore))
  problems.push(`active resources: before ${restingBefore.join(' ')}; after ${restingAfter.join(' ')}`)
const scrape = await otlier.scrape()
problems.push(...imbalances(scrape))
const accepted = before.accepted + sent.accepted
const { queued, inFlight } = exporterBooks(scrape, 'otlp', 'traces')
if (queued + inFlight > 0) problems.push(`${queued + inFlight} spans are still waiting`)
const logs = compareLogs([first.log, sender.log], recorder.log)
console.log(told(logs))
console.log(
  `from sender to backend: p50 ${quantile(logs.delaysMs, 0.5).toFixed(1)} ms, p99 ${quantile(logs.delaysMs, 0.99).toFixed(1)} ms`,
)
problems.push(
  ...differences(scrape, 'traces', { accepted, destinations: { otlp: { sent: logs.taken, rejected: 0 } } }),
)
if (logs.lost.length > 0 || logs.strangers > 0 || logs.again.unexplained.length > 0)
  problems.push('the logs of the sender and the backend do not agree')
if (sent.refused + before.refused > 0) problems.push(`${sent.refused + before.refused} spans were refused`)
await otlier.process.stop()
await recorder.program.stop()
rmSync(folder, { recursive: true, force: true })
for (const problem of problems) console.log(`FAIL: ${problem}`)
console.log(problems.length === 0 ? 'the soak is passed' : `the soak is failed, ${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
