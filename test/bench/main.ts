//! `npm run bench`: what Otlier costs, as ratios within one run. `--quick` is short, `--check` fails below the floors, `--profile DIR` writes CPU profiles.
import { execFileSync } from 'node:child_process'
import { cpus, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { assembling } from './assembling.ts'
import type { LearningCost } from './learning.ts'
import { passing } from './passing.ts'
import { scoring } from './scoring.ts'
import { READY_AFTER, requests, SERIES, SLOW_EVERY, SPANS } from './traffic.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, check: { type: 'boolean' }, profile: { type: 'string' } },
})
const RUNS = values.quick ? 3 : 5
/** A run goes from one side to the other this often: whatever else the machine does then falls on both. */
const TURNS = 4
/** Requests of one turn. */
const COUNTS = values.quick
  ? { decode: 12, score: 100, pass: 60, assemble: 300 }
  : { decode: 50, score: 400, pass: 150, assemble: 1000 }
/** The least that is promised: as many times protobufjs's decode, and as much of the relay. */
const FLOORS: Readonly<Record<string, number | undefined>> = { scan: 10, service: 0.9 }
/** The most that assembly may take of CPU, in microseconds a span. */
const ASSEMBLY_CEILING_US = 1
/** The learning plane of 400 services: its share of a core at most, with windows of 10 s, and bytes a series in both planes. */
const LEARNING_SERVICES = 400
const LEARNING_CEILING = 0.05
const SERIES_CEILING_BYTES = 4096
const WINDOW_US = 10e6
/** Windows before what is measured (levels are ready after eight), and windows that are. */
const WINDOWS = values.quick ? [12, 5] : [24, 10]
const LEARNING_RUNS = values.quick ? 1 : 3
/** So many requests fill the assembler with all that waits in a busy service. */
const FILLED_AFTER = 600

interface Work {
  readonly spans: number
  readonly cpuUs: number
}

interface Compared {
  readonly name: string
  /** Spans per CPU second, the medians of all runs. */
  readonly own: number
  readonly other: number
  readonly ratios: readonly number[]
  /** The median. */
  readonly ratio: number
}

const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]

async function compare(
  name: string,
  own: () => Promise<Work>,
  other: () => Promise<Work>,
): Promise<Compared> {
  const rates: { own: number; other: number }[] = []
  for (let run = 0; run < RUNS; run++) {
    const spent = { own: { spans: 0, cpuUs: 0 }, other: { spans: 0, cpuUs: 0 } }
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [side, act] of [['other', other] as const, ['own', own] as const]) {
        const { spans, cpuUs } = await act()
        spent[side].spans += spans
        spent[side].cpuUs += cpuUs
      }
    }
    const rate = ({ spans, cpuUs }: Work) => (spans / cpuUs) * 1e6
    rates.push({ own: rate(spent.own), other: rate(spent.other) })
  }
  const ratios = rates.map(rate => rate.own / rate.other)
  return {
    name,
    own: median(rates.map(rate => rate.own)),
    other: median(rates.map(rate => rate.other)),
    ratios,
    ratio: median(ratios),
  }
}

const traffic = requests(64)

async function scan(): Promise<Compared> {
  const plane = await scoring(traffic)
  await plane.score(READY_AFTER, false)
  await plane.score(COUNTS.score, true)
  await plane.decode(COUNTS.decode)
  const before = plane.seen()
  const compared = await compare(
    'scan',
    async () => ({ spans: COUNTS.score * SPANS, cpuUs: await plane.score(COUNTS.score, true) }),
    async () => ({ spans: COUNTS.decode * SPANS, cpuUs: await plane.decode(COUNTS.decode) }),
  )
  const after = plane.seen()
  requireMarks(after.marked - before.marked, after.spans - before.spans)
  return compared
}

async function service(): Promise<Compared[]> {
  const both = await passing(traffic, values.profile)
  try {
    await both.through('relay', COUNTS.pass * TURNS, false)
    await both.through('equal', COUNTS.pass * TURNS, false)
    await both.through('service', READY_AFTER, false)
    await both.through('service', COUNTS.pass * TURNS, true)
    let spans = 0
    let marked = 0
    const own = async () => {
      const passed = await both.through('service', COUNTS.pass, true)
      spans += passed.spans
      marked += passed.marked
      return passed
    }
    const compared = [
      await compare('service', own, () => both.through('relay', COUNTS.pass, true)),
      await compare('equal', own, () => both.through('equal', COUNTS.pass, true)),
    ]
    requireMarks(marked, spans)
    return compared
  } finally {
    await both.close()
  }
}

/** Microseconds of CPU a span for each run: by itself, so it is what comes on top of the scan. */
function assembly(): { readonly us: readonly number[]; readonly waiting: number } {
  const plane = assembling()
  plane.assemble(FILLED_AFTER)
  const before = plane.seen()
  const us = Array.from(
    { length: RUNS },
    () => plane.assemble(COUNTS.assemble) / (COUNTS.assemble * plane.spans),
  )
  const spans = RUNS * COUNTS.assemble * plane.spans
  const share = (plane.seen() - before) / spans
  if (!(share > 0.8 && share < 1.2)) throw new Error(`of ${spans} spans ${share * spans} were published`)
  return { us, waiting: plane.waiting() }
}

/** In processes of their own, whose memory is nobody else's. Some keep 480 bytes a series that others have let go; why is not known yet. */
function learning(): LearningCost {
  const program = fileURLToPath(new URL('./learning.ts', import.meta.url))
  const args = ['--expose-gc', program, LEARNING_SERVICES, ...WINDOWS].map(String)
  const runs = Array.from(
    { length: LEARNING_RUNS },
    () => JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as LearningCost,
  )
  return { ...runs[0], bytesASeries: median(runs.map(({ bytesASeries }) => bytesASeries)) }
}

/** Figures of a service that looks at nothing would be better ones. */
function requireMarks(marked: number, spans: number) {
  const share = (marked * SLOW_EVERY) / spans
  if (!(share > 0.8 && share < 1.2))
    throw new Error(`${marked} of ${spans} spans are marked, not 1 in ${SLOW_EVERY}`)
}

function print(
  title: string,
  names: readonly [string, string],
  { own, other, ratio, ratios, name }: Compared,
) {
  const rate = (value: number) => `${Math.round(value / 1000).toLocaleString('en-US')},000`.padStart(11)
  const floor = FLOORS[name]
  console.log(`\n${title}, spans per CPU second`)
  console.log(`  ${names[0].padEnd(52)}${rate(own)}`)
  console.log(`  ${names[1].padEnd(52)}${rate(other)}`)
  console.log(
    `  ${'ratio'.padEnd(52)}${ratio.toFixed(2).padStart(11)}   ${floor === undefined ? '' : `floor ${floor}, `}runs ${ratios.map(each => each.toFixed(2)).join(' ')}`,
  )
}

const environment = {
  cpu: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
  os: `${type()} ${process.arch}`,
  node: process.version,
}
const bytes = Math.round(traffic[0].bytes.length / SPANS)
console.log(`${environment.cpu}, ${environment.os}, Node ${environment.node}`)
console.log(
  `${SERIES} series, ${SPANS} spans of ten attributes and ${bytes} bytes a request, 1 in ${SLOW_EVERY} marked; medians of ${RUNS} alternating runs`,
)
const scanned = await scan()
print(
  'One thread',
  ['check to full depth, scan, score, mark', "protobufjs's decode of the same bytes"],
  scanned,
)
const { us, waiting } = assembly()
console.log('\nAssembly of traces and their features, on top of the scan, microseconds of CPU a span')
console.log(
  `  ${`with ${Math.round(waiting / 1000)},000 spans that wait`.padEnd(52)}${median(us).toFixed(2).padStart(11)}   ceiling ${ASSEMBLY_CEILING_US}, runs ${us.map(each => each.toFixed(2)).join(' ')}`,
)
const learned = learning()
const share = median(learned.us) / WINDOW_US
console.log(
  `\nLearning, ${learned.series.toLocaleString('en-US')} series with ${learned.spans.toLocaleString('en-US')} spans and ${learned.features.toLocaleString('en-US')} features in a window of 10 s`,
)
console.log(
  `  ${'CPU of the learning plane, of a core'.padEnd(52)}${`${(100 * share).toFixed(1)} %`.padStart(11)}   ceiling ${100 * LEARNING_CEILING} %, windows ${learned.us.map(us => (us / 1000).toFixed(0)).join(' ')} ms`,
)
console.log(
  `  ${'memory of both planes, bytes a series'.padEnd(52)}${Math.round(learned.bytesASeries).toLocaleString('en-US').padStart(11)}   ceiling ${SERIES_CEILING_BYTES.toLocaleString('en-US')}`,
)
const [served, equal] = await service()
print('Whole process, gRPC in and out', ['Otlier', 'relay of raw buffers by grpc-js on both sides'], served)
print('The same, all with the options of npm start', ['Otlier', 'the relay'], equal)
console.log(
  `\n${JSON.stringify({ ...environment, results: [scanned, served, equal], assemblyUs: median(us), learning: { share, bytesASeries: learned.bytesASeries } })}`,
)
const missed = (what: string) => {
  console.log(`${values.check ? 'FAIL' : 'NOTE'}: ${what}`)
  if (values.check) process.exitCode = 1
}
for (const { name, ratio } of [scanned, served]) {
  const floor = FLOORS[name] ?? 0
  if (ratio < floor) missed(`${name} is at ${ratio.toFixed(2)}, below its floor of ${floor}`)
}
if (median(us) > ASSEMBLY_CEILING_US)
  missed(`assembly takes ${median(us).toFixed(2)} microseconds a span, more than ${ASSEMBLY_CEILING_US}`)
if (share > LEARNING_CEILING)
  missed(`learning takes ${(100 * share).toFixed(1)} % of a core, more than ${100 * LEARNING_CEILING} %`)
if (learned.bytesASeries > SERIES_CEILING_BYTES)
  missed(`a series takes ${Math.round(learned.bytesASeries)} bytes, more than ${SERIES_CEILING_BYTES}`)
