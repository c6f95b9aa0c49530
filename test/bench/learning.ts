//! What learning costs, in a process of its own with `--expose-gc`: CPU time of the learning plane a window, and bytes a series of both planes. Prints JSON.
import { type Deployment, deployment, SERIES_A_SERVICE, traffic, WINDOW_MS } from './large.ts'

const [services, windows] = process.argv.slice(2).map(Number)
/** Windows before what is measured: levels are known, and rings are full. */
const WARM = 24
const SPANS_EACH = 4

const collect = globalThis.gc as () => void
function held(): number {
  for (let n = 0; n < 3; n++) collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function run(plane: Deployment, windows: number, services: number, each = () => {}) {
  const made = traffic(services, SPANS_EACH)
  for (let n = 0; n < windows; n++) {
    await plane.send(made)
    each()
  }
  return made.spans
}

const made = traffic(services, SPANS_EACH)
const few = traffic(4, SPANS_EACH)
// Code and tables of fixed size are there with the first spans.
const first = deployment()
await first.send(few, 4)
first.learn()
const plane = deployment()
const before = held()
for (let n = 0; n < WARM; n++) {
  await plane.send(made)
  plane.learn()
}
const us: number[] = []
let heard = 0
for (let n = 0; n < windows; n++) {
  await plane.send(made)
  const start = process.cpuUsage()
  heard += plane.learn()
  const { user, system } = process.cpuUsage(start)
  us.push(user + system)
}
const waiting = plane.registry.read('otlier.assembly.spans')
const bytes = held() - before
const series = plane.registry.read('otlier.series.tracked')
console.log(JSON.stringify({ series, spans: made.spans, waiting, heard, us, bytes, features: plane.plane.evidence.features.length, perSeries: bytes / series }))
