//! Laws of the comparison of accounts: it is silent over books that balance, and names every term that is off.
import { describe, expect, test } from 'vitest'
import { differences, exporterBooks, imbalances, readMetrics } from './accounts.ts'

/** Samples of one exporter that balance. */
const BALANCED: Readonly<Record<string, number>> = {
  'otlier_receiver_accepted_spans_total{}': 90,
  'otlier_generated_spans_total{}': 10,
  'otlier_exporter_enqueued_spans_total{exporter="otlp"}': 97,
  'otlier_exporter_recovered_spans_total{exporter="otlp"}': 5,
  'otlier_exporter_enqueue_failed_spans_total{exporter="otlp",reason="queue_full"}': 2,
  'otlier_exporter_enqueue_failed_spans_total{exporter="otlp",reason="unsupported"}': 1,
  'otlier_exporter_sent_spans_total{exporter="otlp"}': 80,
  'otlier_exporter_rejected_spans_total{exporter="otlp"}': 3,
  'otlier_exporter_dropped_spans_total{exporter="otlp",reason="expired"}': 4,
  'otlier_exporter_send_failed_spans_total{exporter="otlp"}': 7,
  'otlier_exporter_queued_spans{exporter="otlp"}': 9,
  'otlier_exporter_in_flight_spans{exporter="otlp"}': 6,
}

function metrics(changed: Readonly<Record<string, number>> = {}) {
  const lines = Object.entries({ ...BALANCED, ...changed }).map(
    ([name, value]) => `${name.replace('{}', '')} ${value}`,
  )
  return readMetrics(`# HELP x y\n# TYPE x counter\n${lines.join('\n')}\n`)
}

describe('identities', () => {
  test('hold where every item stands in exactly one account', () => {
    expect(imbalances(metrics())).toEqual([])
  })

  test.each(Object.entries(BALANCED))('do not where %s is not %i', (name, value) => {
    for (const off of [value - 1, value + 1]) expect(imbalances(metrics({ [name]: off }))).not.toEqual([])
  })

  test('do not where two errors would cancel out below zero', () => {
    const books = {
      'otlier_exporter_queued_spans{exporter="otlp"}': -1,
      'otlier_exporter_in_flight_spans{exporter="otlp"}': 16,
    }
    expect(imbalances(metrics(books))).toEqual(['otlp, traces: queued is -1'])
  })

  test('of an exporter that is not always there hold for as long as it is, and it is given nothing while it is not', () => {
    const since = metrics()
    const later = (items: number) =>
      metrics({
        'otlier_receiver_accepted_spans_total{}': 97,
        'otlier_exporter_enqueued_spans_total{exporter="otlp"}': 97 + items,
        'otlier_exporter_sent_spans_total{exporter="otlp"}': 80 + items,
      })
    const wrong = (items: number, exporters: readonly string[]) =>
      imbalances(later(items), { since, exporters }).length
    expect([wrong(7, ['otlp']), wrong(0, []), wrong(0, ['other'])]).toEqual([0, 0, 0])
    expect([wrong(6, ['otlp']), wrong(0, ['otlp']), wrong(7, []), wrong(1, [])]).toEqual([1, 1, 1, 1])
  })

  test('are asked of every exporter and signal', () => {
    const other = {
      'otlier_exporter_enqueued_spans_total{exporter="otlp/2"}': 100,
      'otlier_exporter_queued_spans{exporter="otlp/2"}': 99,
      'otlier_exporter_enqueued_log_records_total{exporter="otlp"}': 1,
    }
    expect(imbalances(metrics(other)).map(text => text.split(':')[0])).toEqual([
      'otlp, logs',
      'otlp, logs',
      'otlp/2, traces',
    ])
  })
})

describe('comparisons', () => {
  test('name each term that others have counted differently', () => {
    const same = { accepted: 90, destinations: { otlp: { sent: 80, rejected: 3, queued: 15 } } }
    expect(differences(metrics(), 'traces', same)).toEqual([])
    const none = { accepted: 89, destinations: { otlp: { sent: 81, rejected: 2, queued: 14 } } }
    expect(differences(metrics(), 'traces', none)).toHaveLength(4)
    expect(differences(metrics(), 'traces', {})).toEqual([])
  })
})

describe('samples', () => {
  test('are read with their labels, escapes included, and summed over those that are not asked for', () => {
    const scrape = readMetrics(
      'a_total{x="1",y="a \\"b\\" \\\\"} 2\na_total{x="1",y="c"} 3.5\na_total{x="2"} 4e2\n',
    )
    expect(scrape.sum('a_total')).toBe(405.5)
    expect(scrape.sum('a_total', { x: '1' })).toBe(5.5)
    expect(scrape.sum('a_total', { y: 'a "b" \\' })).toBe(2)
    expect(scrape.sum('b_total')).toBe(0)
    expect(exporterBooks(scrape, 'otlp', 'traces').sent).toBe(0)
  })

  test('a line that is none is an error, not a zero', () => {
    expect(() => readMetrics('a_total{x="1" 2\n')).toThrow('no sample')
  })
})
