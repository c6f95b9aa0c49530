//! What learning costs, in a process of its own with `--expose-gc`: CPU time of the learning plane, and bytes a series of both planes. Prints JSON.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Deployment, deployment, SERIES_A_SERVICE, type Traffic, traffic } from './large.ts'

export interface LearningCost {
  readonly series: number
  readonly features: number
  /** Spans that a window has. */
  readonly spans: number
  /** CPU microseconds of the learning plane for each window. */
  readonly us: readonly number[]
  /** Of heap and what hangs on it, after collection, in both planes. */
  readonly bytesASeries: number
}

/** Services, windows before what is measured, and windows that are. */
const [services, before, windows] = process.argv.slice(2).map(Number)
/** What takes as many spans, and has hardly any series: spans that wait are not the series'. */
const FEW = 4

const collect = globalThis.gc as () => void
async function heldBytes(): Promise<number> {
  // Buffers are let go beside the program, a moment after what held them is collected.
  for (let n = 0; n < 5; n++) {
    collect()
    await sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function live(plane: Deployment, made: Traffic, windows: number): Promise<number[]> {
  const us: number[] = []
  for (let n = 0; n < windows; n++) {
    await plane.send(made)
    const start = process.cpuUsage()
    plane.learn()
    const { user, system } = process.cpuUsage(start)
    us.push(user + system)
  }
  return us
}

const many = traffic(services)
const few = traffic(FEW, services / FEW)
// Code is compiled and tables of fixed size are there before anything is measured.
await live(deployment(), few, before)
const empty = await heldBytes()
const small = deployment()
await live(small, few, before)
const withFew = await heldBytes()
const large = deployment()
await live(large, many, before)
const us = await live(large, many, windows)
const withMany = await heldBytes()
const series = large.registry.read('otlier.series.tracked')
const fewer = small.registry.read('otlier.series.tracked')
if (series !== services * SERIES_A_SERVICE) throw new Error(`${series} series are tracked`)
const bytesASeries = (withMany - withFew - (withFew - empty)) / (series - fewer)
const cost: LearningCost = { series, features: large.features(), spans: many.spans, us, bytesASeries }
console.log(JSON.stringify(cost))
