//! `npm run bench`: what Otlier costs, as ratios within one run, medians of five alternating runs. `--quick` is a short form, `--check` fails below the floors.
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { passing } from './passing.ts'
import { scoring } from './scoring.ts'
import { requests, SERIES, SPANS } from './traffic.ts'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, check: { type: 'boolean' } } })
const ROUNDS = values.quick ? 3 : 5
const SCALE = values.quick ? 0.3 : 1
/** The least that is promised: times protobufjs's decode, and share of the relay. */
const FLOORS = { scan: 10, service: 0.9 }

const many = (count: number) => Math.round(count * SCALE)
const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]
const thousands = (perMicrosecond: number) =>
  `${Math.round(perMicrosecond * 1000).toLocaleString('en-US')},000`

const traffic = requests(64)
const perRequest = traffic[0].bytes.length / SPANS
console.log(
  `${cpus().length} cores of ${cpus()[0].model}, Node ${process.version}; ${SERIES} series, ${SPANS} spans of ${Math.round(perRequest)} bytes a request, 1 in 100 slow; ${ROUNDS} alternating runs`,
)

async function scanRatio() {
  const plane = await scoring(traffic)
  await plane.score(many(1200), false)
  await plane.decode(many(100))
  const rounds: { decode: number; score: number }[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const decode = (many(100) * SPANS) / (await plane.decode(many(100)))
    const score = (many(600) * SPANS) / (await plane.score(many(600), true))
    rounds.push({ decode, score })
  }
  const { spans, marked } = plane.seen()
  return { rounds, spans, marked, ratio: median(rounds.map(({ decode, score }) => score / decode)) }
}

async function serviceRatio() {
  const both = await passing(traffic)
  try {
    for (const middle of ['relay', 'service'] as const) await both.through(middle, many(1500), false)
    const rounds: { relay: number; service: number }[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const relay = await both.through('relay', many(1200), true)
      const service = await both.through('service', many(1200), true)
      rounds.push({ relay: relay.spans / relay.cpuUs, service: service.spans / service.cpuUs })
    }
    return { rounds, ratio: median(rounds.map(({ relay, service }) => service / relay)) }
  } finally {
    await both.close()
  }
}

const scan = await scanRatio()
console.log(`
check, scan, score and mark, one thread   ${thousands(median(scan.rounds.map(({ score }) => score)))} spans per CPU second (${scan.marked} of ${scan.spans} marked)
protobufjs's decode of the same bytes      ${thousands(median(scan.rounds.map(({ decode }) => decode)))}
ratio                                      ${scan.ratio.toFixed(1)}   (floor ${FLOORS.scan})`)
const service = await serviceRatio()
console.log(`
whole service, gRPC in and out             ${thousands(median(service.rounds.map(each => each.service)))} spans per CPU second
relay by grpc-js on both sides             ${thousands(median(service.rounds.map(each => each.relay)))}
ratio                                      ${service.ratio.toFixed(2)}   (floor ${FLOORS.service}; runs ${service.rounds.map(each => (each.service / each.relay).toFixed(2)).join(' ')})
`)
console.log(JSON.stringify({ scan: scan.ratio, service: service.ratio }))
if (values.check && (scan.ratio < FLOORS.scan || service.ratio < FLOORS.service)) process.exitCode = 1
