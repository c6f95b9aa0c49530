//! Who scrapes /metrics every second, whatever else happens, and looks whether the accounts balance.
import { setTimeout as sleep } from 'node:timers/promises'
import { imbalances } from '../../kit/accounts.ts'
import { scrapeOf } from './service.ts'

/** Since it was asked before. */
export interface Looked {
  /** Scrapes that showed the accounts. */
  readonly good: number
  /** And why the others did not, how often each: of these nothing is known, so they balance nothing. */
  readonly failed: Readonly<Record<string, number>>
  /** One sentence for each identity that did not hold in a good one. */
  readonly unbalanced: readonly string[]
}

const EVERY_MS = 1000
const port = Number(process.argv[2])
/** Whose accounts a page must show: of one without any there is nothing that could be wrong. */
const exporter = process.argv[3]
let good = 0
let unbalanced: string[] = []
let failed = new Map<string, number>()

async function look() {
  try {
    const found = await scrapeOf(port)
    if (!found.labels('exporter').includes(exporter)) throw new Error(`a page without ${exporter}`)
    good++
    unbalanced.push(...imbalances(found))
  } catch (error) {
    const why = (error as Error).message
    failed.set(why, (failed.get(why) ?? 0) + 1)
  }
}

process.on('message', message => {
  if (message !== 'looked') return
  process.send?.({ good, failed: Object.fromEntries(failed), unbalanced } satisfies Looked)
  good = 0
  failed = new Map()
  unbalanced = []
})
console.log('ready')
for (;;) {
  const nextMs = performance.now() + EVERY_MS
  await look()
  await sleep(Math.max(0, nextMs - performance.now()))
}
