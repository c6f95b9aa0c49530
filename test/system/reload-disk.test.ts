//! The laws of a reload where queues are on disk: nothing is lost, nothing is counted twice, and one folder has one queue at a time.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { GrpcClient } from '../kit/client.ts'
import { recordingLog } from '../kit/log.ts'
import { startService, toGrpc } from '../kit/otlier.ts'
import { arrived, load } from './load.ts'
import { backend, sorted, stops, until } from './reload-scene.ts'

const onDisk = (address: string, name = 'otlp') => [
  ...toGrpc(address, name),
  `exporters.${name}.sending_queue.storage=disk`,
]

async function service(settings: readonly string[]) {
  const directory = await mkdtemp(join(tmpdir(), 'otlier-reload-'))
  stops.push(() => rm(directory, { recursive: true }))
  const { log, lines } = recordingLog()
  const started = await startService([`directory=${directory}`, ...settings], { log, directory })
  const client = new GrpcClient(started.grpcPort)
  let lost: Promise<number> | null = null
  const stop = () => {
    lost ??= started.stop()
    client.session.close()
    return lost
  }
  stops.push(stop)
  const reconfigure = (other: readonly string[]) => started.reconfigure([`directory=${directory}`, ...other])
  const says = (text: string) => lines.filter(({ message }) => message.includes(text))
  const read = async (what: string) =>
    (await started.metrics()).get(`otlier_exporter_${what}{exporter="otlp/out"}`)
  return { ...started, directory, reconfigure, client, says, read, stop }
}

describe('a destination with a queue on disk', () => {
  test('that is away and taken out leaves all on disk, is told with its place, and gets it when it is back', async () => {
    let isAway = true
    const out = await backend({ script: () => (isAway ? { kind: 'status', code: 14 } : { kind: 'ok' }) })
    const kept = await backend()
    const alone = [...toGrpc(kept.grpc), 'shutdown_timeout=300ms']
    const both = [...alone, ...onDisk(out.grpc, 'otlp/out')]
    const otlier = await service(both)
    const sending = load(otlier.client)
    await sending.more(40)
    await sending.end()
    const count = sending.accepted.length
    expect(await otlier.reconfigure(alone)).toBe(true)
    await until('its end is told', () => otlier.says('it is on disk').length === 1)
    const path = join(otlier.directory, 'queue', 'otlp%2Fout')
    expect(otlier.says('it is on disk')[0].fields).toEqual({ exporter: 'otlp/out', items: count, path })
    expect(otlier.says('has got everything')).toEqual([])
    expect(otlier.undelivered().filter(({ exporter }) => exporter === 'otlp/out')).toEqual([])
    expect(await otlier.read('queued_spans')).toBe(count)
    isAway = false
    expect(await otlier.reconfigure(both)).toBe(true)
    await until('all has arrived', () => new Set(arrived(out)).size >= count)
    await until('all is counted', async () => (await otlier.read('sent_spans_total')) === count)
    // It is the same telemetry as before, in the same process.
    expect(await otlier.read('recovered_spans_total')).toBe(0)
    expect(await otlier.read('enqueued_spans_total')).toBe(count)
    expect(await otlier.read('queued_spans')).toBe(0)
    expect(await otlier.stop()).toBe(0)
    expect(sorted([...new Set(arrived(out))])).toEqual(sorted(sending.accepted))
  })

  test('that is taken out is asked until its time is up, although nothing would be lost', async () => {
    let refusals = 5
    const out = await backend({
      script: () => (refusals-- > 0 ? { kind: 'status', code: 14 } : { kind: 'ok' }),
    })
    const kept = await backend()
    const quick = 'exporters.otlp/out.retry_on_failure.initial_interval=10ms'
    const otlier = await service([...toGrpc(kept.grpc), ...onDisk(out.grpc, 'otlp/out'), quick])
    const sending = load(otlier.client, 1)
    await sending.more(1)
    await sending.end()
    expect(await otlier.reconfigure(toGrpc(kept.grpc))).toBe(true)
    const ends = () => [...otlier.says('it is on disk'), ...otlier.says('has got everything')]
    await until('its end is told', () => ends().length === 1)
    expect(otlier.says('it is on disk')).toEqual([])
    expect(sorted([...new Set(arrived(out))])).toEqual(sorted(sending.accepted))
  })

  test('that comes back at once is opened when the one before has closed', async () => {
    const out = await backend({
      async script() {
        await new Promise(resolve => setTimeout(resolve, 100))
        return { kind: 'ok' }
      },
    })
    const otlier = await service(onDisk(out.grpc, 'otlp/out'))
    const sending = load(otlier.client)
    await sending.more(40)
    await sending.end()
    const changes = [otlier.reconfigure([]), otlier.reconfigure(onDisk(out.grpc, 'otlp/out'))]
    expect(await Promise.all(changes)).toEqual([true, true])
    expect(otlier.says('has got everything')).toHaveLength(1)
    const again = load(otlier.client, 4, 'm')
    await again.more(40)
    await again.end()
    const count = sending.accepted.length + again.accepted.length
    await until('all is counted', async () => (await otlier.read('sent_spans_total')) === count)
    expect(await otlier.read('recovered_spans_total')).toBe(0)
    expect(await otlier.stop()).toBe(0)
    // Each once: no queue has read what another had under way.
    expect(sorted(arrived(out))).toEqual(sorted([...sending.accepted, ...again.accepted]))
  })

  test('keeps its storage, and a queue in memory its size too, until a restart', async () => {
    const out = await backend()
    const otlier = await service(toGrpc(out.grpc, 'otlp/out'))
    const before = await otlier.read('queue_capacity')
    expect(await otlier.reconfigure(onDisk(out.grpc, 'otlp/out'))).toBe(true)
    expect(otlier.says('take effect at the next start')[0].fields['settings']).toEqual([
      'exporters.otlp/out.sending_queue.storage',
      'exporters.otlp/out.sending_queue.acknowledge',
    ])
    expect(await otlier.read('queue_capacity')).toBe(before)
  })

  test('needs a directory, and a reload that brings one without is not taken over', async () => {
    const out = await backend()
    const { log, lines } = recordingLog()
    const otlier = await startService(toGrpc(out.grpc), { log })
    stops.push(() => otlier.stop())
    // What is written in it counts at the start only.
    const other = ['directory=/somewhere', ...toGrpc(out.grpc), ...onDisk(out.grpc, 'otlp/out')]
    expect(await otlier.reconfigure(other)).toBe(false)
    expect(lines.map(({ message }) => message).join('\n')).toContain('there is no directory for it')
  })
})
