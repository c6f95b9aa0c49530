//! The accounts of the conventions, read from /metrics: whether they balance, and whether they are what others have counted.
import { ITEM_NAMES, SIGNALS, type Signal } from '../../src/flow/sink.ts'

/** The samples of one scrape. */
export interface Scrape {
  /** The sum of all samples of this name that have these labels. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
  /** All values that a label has, over all samples. */
  labels(name: string): readonly string[]
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** The Prometheus text format, as far as Otlier writes it. Throws on a line that is none. */
export function readMetrics(text: string): Scrape {
  const byName = Map.groupBy(text.split('\n').flatMap(sampleOf), ({ name }) => name)
  return {
    sum(name, labels = {}) {
      const wanted = Object.entries(labels)
      return (byName.get(name) ?? [])
        .filter(sample => wanted.every(([key, value]) => sample.labels[key] === value))
        .reduce((sum, { value }) => sum + value, 0)
    },
    labels: name => [...new Set([...byName.values()].flat().flatMap(({ labels }) => labels[name] ?? []))],
  }
}

function sampleOf(line: string): Sample[] {
  if (line === '' || line.startsWith('#')) return []
  const [, name, labels = '', value] = LINE.exec(line) ?? []
  if (name === undefined) throw new Error(`no sample: ${line}`)
  const pairs = [...labels.matchAll(LABEL)].map(([, key, text]) => [key, text.replace(/\\(.)/g, '$1')])
  return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }]
}

/** What one destination has done with the items of one signal. */
export interface ExporterBooks {
  readonly enqueued: number
  readonly recovered: number
  readonly enqueueFailed: number
  readonly sent: number
  readonly rejected: number
  readonly dropped: number
  readonly queued: number
  readonly inFlight: number
}

export function exporterBooks(scrape: Scrape, exporter: string, signal: Signal): ExporterBooks {
  const of = (what: string, suffix = '_total') =>
    scrape.sum(`otlier_exporter_${what}_${ITEM_NAMES[signal]}${suffix}`, { exporter })
  return {
    enqueued: of('enqueued'),
    recovered: of('recovered'),
    enqueueFailed: of('enqueue_failed'),
    sent: of('sent'),
    rejected: of('rejected'),
    dropped: of('dropped'),
    queued: of('queued', ''),
    inFlight: of('in_flight', ''),
  }
}

export const acceptedItems = (scrape: Scrape, signal: Signal) =>
  scrape.sum(`otlier_receiver_accepted_${ITEM_NAMES[signal]}_total`)

/** A time in which these exporters were in every pipeline, and no others in any. */
export interface Stretch {
  readonly since: Scrape
  readonly exporters: readonly string[]
}

/** What all exporters that are there must have been given, one way or the other. */
const takenItems = (scrape: Scrape, signal: Signal) =>
  acceptedItems(scrape, signal) + scrape.sum(`otlier_generated_${ITEM_NAMES[signal]}_total`)

/** What one was given. */
const givenItems = (scrape: Scrape, exporter: string, signal: Signal) => {
  const { enqueued, enqueueFailed } = exporterBooks(scrape, exporter, signal)
  return enqueued + enqueueFailed
}

/** One sentence for each identity that does not hold. Without a stretch, every exporter is taken to be in every pipeline from the start. */
export function imbalances(scrape: Scrape, stretch: Stretch | null = null): string[] {
  const wrong: string[] = []
  for (const exporter of scrape.labels('exporter')) {
    for (const signal of SIGNALS) {
      const books = exporterBooks(scrape, exporter, signal)
      const into = books.enqueued + books.recovered
      const outOf = books.sent + books.rejected + books.dropped + books.queued + books.inFlight
      if (into !== outOf)
        wrong.push(`${exporter}, ${signal}: ${into} went in, ${outOf} are told of: ${JSON.stringify(books)}`)
      const isIn = stretch === null || stretch.exporters.includes(exporter)
      const since = (count: (of: Scrape) => number) => count(scrape) - (stretch ? count(stretch.since) : 0)
      const taken = isIn ? since(of => takenItems(of, signal)) : 0
      const given = since(of => givenItems(of, exporter, signal))
      if (taken !== given)
        wrong.push(`${exporter}, ${signal}: ${taken} accepted or generated, ${given} given to it`)
      const sendFailed = scrape.sum(`otlier_exporter_send_failed_${ITEM_NAMES[signal]}_total`, { exporter })
      if (sendFailed !== books.rejected + books.dropped)
        wrong.push(`${exporter}, ${signal}: send_failed is ${sendFailed}, not rejected + dropped`)
      for (const [term, value] of Object.entries(books))
        if (!(value >= 0)) wrong.push(`${exporter}, ${signal}: ${term} is ${value}`)
    }
  }
  return wrong
}

/** What others have counted while no request was open on either side, in items of one signal. */
export interface Counted {
  /** By the senders: items of requests that were answered with success. */
  readonly accepted?: number
  /** By each destination: distinct items that it has answered with success, and those that it has rejected. */
  readonly destinations?: Readonly<
    Record<string, { readonly sent?: number; readonly rejected?: number; readonly queued?: number }>
  >
}

/** One sentence for each term that is not what the others have counted. */
export function differences(scrape: Scrape, signal: Signal, counted: Counted): string[] {
  const wrong: string[] = []
  const compare = (what: string, told: number, seen: number | undefined) => {
    if (seen !== undefined && told !== seen) wrong.push(`${what} is ${told}, and ${seen} were counted`)
  }
  compare(`accepted ${signal}`, acceptedItems(scrape, signal), counted.accepted)
  for (const [exporter, { sent, rejected, queued }] of Object.entries(counted.destinations ?? {})) {
    const books = exporterBooks(scrape, exporter, signal)
    compare(`${exporter}: sent ${signal}`, books.sent, sent)
    compare(`${exporter}: rejected ${signal}`, books.rejected, rejected)
    compare(`${exporter}: queued ${signal}`, books.queued + books.inFlight, queued)
  }
  return wrong
}
