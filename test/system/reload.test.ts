//! Laws of a reload, through real sockets and under load: as a whole or not at all, and nothing is lost by it.
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { exporterBooks, imbalances } from '../kit/accounts.ts'
import { startBackend } from '../kit/backend.ts'
import { toGrpc } from '../kit/otlier.ts'
import { arrived, load } from './load.ts'
import { backend, GRPC, reloads, service, sorted, stops, until } from './reload-scene.ts'

describe('a bad configuration', () => {
  test('changes nothing, and the log says what is wrong, with line and column', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const sending = load(otlier.client)
    await sending.more(50)
    const bad = 'exporters:\n  otlp:\n    endpont: http://localhost:1\nservice:\n  logs: {level: loud}\n'
    expect(await otlier.reconfigure([], { 'otlier.yaml': bad })).toBe(false)
    expect(otlier.says('otlier.yaml:3:5: exporters.otlp.endpont: unknown key')).toHaveLength(1)
    expect(otlier.says('otlier.yaml:5:17: service.logs.level')).toHaveLength(1)
    expect(otlier.says('the one before stays in force')).toHaveLength(1)
    await sending.more(50)
    await sending.end()
    expect(await otlier.health()).toMatchObject({ status: 200 })
    expect(await reloads(otlier)).toEqual([0, 1])
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(peer))).toEqual(sorted(sending.accepted))
    expect(sending.odd).toEqual([])
  })

  test('whose port is taken changes nothing, not even its destinations, and says which and why', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    stops.push(() => void holder.close())
    await new Promise(resolve => holder.once('listening', resolve))
    const { port } = holder.address() as AddressInfo
    const [before, other] = [await backend(), await backend()]
    const otlier = await service(['shutdown_timeout=1s', ...toGrpc(before.grpc)])
    const moved = [
      'shutdown_timeout=1s',
      ...toGrpc(other.grpc),
      ...toGrpc(other.grpc, 'otlp/two'),
      `${GRPC}=127.0.0.1:${port}`,
    ]
    expect(await otlier.reconfigure(moved)).toBe(false)
    expect(otlier.says(`cannot listen on 127.0.0.1:${port} (${GRPC}): the port is taken`)).toHaveLength(1)
    expect((await otlier.client.export('traces', new Uint8Array(0))).code).toBe(0)
    const sending = load(otlier.client)
    await sending.more(20)
    await sending.end()
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(before))).toEqual(sorted(sending.accepted))
    expect(other.requests).toEqual([])
  })

  test('during a stop is not taken over', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    await Promise.all([otlier.stop(), expect(otlier.reconfigure([])).resolves.toBe(false)])
    expect(otlier.says('Otlier is shutting down')).toHaveLength(1)
  })
})

describe('destinations, under load', () => {
  test('another address gets everything from then on, over the same connection of the sender, and nothing is lost or doubled', async () => {
    const [first, second] = [await backend(), await backend()]
    const otlier = await service(toGrpc(first.grpc))
    const sending = load(otlier.client)
    let now = first
    for (const peer of [second, first, second]) {
      // Requests wait for others for a moment: each address has to have got some.
      const before = now.requests.length
      await until('it has got something', () => now.requests.length > before)
      expect(await otlier.reconfigure(toGrpc(peer.grpc))).toBe(true)
      now = peer
    }
    await sending.more(100)
    await sending.end()
    expect(await otlier.stop()).toBe(0)
    expect(sending.odd).toEqual([])
    expect(sorted([...arrived(first), ...arrived(second)])).toEqual(sorted(sending.accepted))
    expect(arrived(first).length).toBeGreaterThan(0)
    expect(arrived(second).length).toBeGreaterThan(0)
  })

  test('what waits for an address that was wrong goes to the right one', async () => {
    const peer = await backend()
    const gone = await startBackend()
    await gone.stop()
    const otlier = await service(toGrpc(gone.grpc))
    const sending = load(otlier.client)
    await sending.more(100)
    await until('it is away', () => otlier.says('away or busy').length > 0)
    expect(await otlier.reconfigure(toGrpc(peer.grpc))).toBe(true)
    await sending.more(20)
    await sending.end()
    await until('all of it has arrived', () => arrived(peer).length >= sending.accepted.length)
    expect(sorted(arrived(peer))).toEqual(sorted(sending.accepted))
  })

  test('one that is added gets what comes from then on; one that is taken out has got what came until then', async () => {
    const [kept, out, added] = [await backend(), await backend(), await backend()]
    out.script = async () => {
      await new Promise(resolve => setTimeout(resolve, 50))
      return { kind: 'ok' }
    }
    const both = [...toGrpc(kept.grpc), ...toGrpc(out.grpc, 'otlp/out')]
    const otlier = await service(both)
    const sending = load(otlier.client)
    await sending.more(100)
    expect(await otlier.reconfigure([...toGrpc(kept.grpc), ...toGrpc(added.grpc, 'otlp/added')])).toBe(true)
    await until('the one is out', () => otlier.says('that was taken out').length === 1)
    expect(otlier.says('has got everything')).toHaveLength(1)
    const atRemoval = arrived(out).length
    await sending.more(100)
    await sending.end()
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(kept))).toEqual(sorted(sending.accepted))
    expect(sorted([...arrived(out), ...arrived(added)])).toEqual(sorted(sending.accepted))
    expect(arrived(out)).toHaveLength(atRemoval)
  })

  test('one that hangs and is taken out is told exactly what it did not take, and holds up nobody', async () => {
    const [kept, hung] = [await backend(), await backend({ script: () => ({ kind: 'hang' }) })]
    const otlier = await service([
      ...toGrpc(kept.grpc),
      ...toGrpc(hung.grpc, 'otlp/hung'),
      'exporters.otlp/hung.timeout=60s',
    ])
    const sending = load(otlier.client)
    await sending.more(100)
    await sending.end()
    expect(await otlier.reconfigure([...toGrpc(kept.grpc), 'shutdown_timeout=200ms'])).toBe(true)
    await until('it is given up', () => otlier.says('was taken out').some(({ level }) => level === 'error'))
    const [told] = otlier.says('did not take this in time')
    expect(told.fields).toEqual({ exporter: 'otlp/hung', signal: 'traces', items: sending.accepted.length })
    const metrics = await otlier.metrics()
    expect(metrics.get('otlier_exporter_dropped_spans_total{exporter="otlp/hung",reason="shutdown"}')).toBe(
      sending.accepted.length,
    )
    // It is no loss of the stop that comes later.
    expect(await otlier.stop()).toBe(0)
    expect(sorted(arrived(kept))).toEqual(sorted(sending.accepted))
  })

  test('one that is taken out and comes back is waited for, and its accounts go on', async () => {
    const peer = await backend({
      async script() {
        await new Promise(resolve => setTimeout(resolve, 100))
        return { kind: 'ok' }
      },
    })
    const otlier = await service(toGrpc(peer.grpc))
    const sending = load(otlier.client)
    await sending.more(40)
    await sending.end()
    const [out, back] = [otlier.reconfigure([]), otlier.reconfigure(toGrpc(peer.grpc))]
    expect([await out, await back]).toEqual([true, true])
    expect(otlier.says('has got everything')).toHaveLength(1)
    const again = load(otlier.client, 4, 'm')
    await again.more(40)
    await again.end()
    await until(
      'all has arrived',
      () => arrived(peer).length >= sending.accepted.length + again.accepted.length,
    )
    expect(sorted(arrived(peer))).toEqual(sorted([...sending.accepted, ...again.accepted]))
    const metrics = await otlier.metrics()
    const read = (what: string) => metrics.get(`otlier_exporter_${what}{exporter="otlp"}`)
    expect(read('enqueued_spans_total')).toBe(arrived(peer).length)
    await until(
      'all is counted',
      async () => (await otlier.metrics()).get('otlier_exporter_in_flight_spans{exporter="otlp"}') === 0,
    )
  })

  test('one that was given up and comes back tells only of its own losses', async () => {
    const peer = await backend({ script: () => ({ kind: 'hang' }) })
    const settings = [...toGrpc(peer.grpc), 'exporters.otlp.timeout=60s', 'shutdown_timeout=200ms']
    const otlier = await service(settings)
    const sending = load(otlier.client)
    await sending.more(20)
    await sending.end()
    expect(await otlier.reconfigure(['shutdown_timeout=200ms'])).toBe(true)
    expect(await otlier.reconfigure(settings)).toBe(true)
    const again = load(otlier.client, 4, 'm')
    await again.more(20)
    await again.end()
    expect(otlier.undelivered()).toEqual([
      { exporter: 'otlp', signal: 'traces', items: again.accepted.length },
    ])
    expect(await otlier.stop()).toBe(again.accepted.length)
  })

  test('the accounts of each balance at every scrape, whatever is reloaded', async () => {
    const peers = [
      await backend(),
      await backend(),
      await backend({ script: () => ({ kind: 'status', code: 14 }) }),
    ]
    const named = peers.map((peer, at) => toGrpc(peer.grpc, `otlp/${at}`))
    const otlier = await service([...named[0], 'shutdown_timeout=200ms'])
    const sending = load(otlier.client)
    const sets = [[0, 1], [1, 2], [0, 2], [2], [0, 1, 2], [0]]
    for (const set of sets) {
      expect(await otlier.reconfigure([...set.flatMap(at => named[at]), 'shutdown_timeout=200ms'])).toBe(true)
      const since = await otlier.scrape()
      const exporters = set.map(at => `otlp/${at}`)
      expect(imbalances(since, { since, exporters })).toEqual([])
      for (let n = 0; n < 3; n++) {
        await sending.more(10)
        expect(imbalances(await otlier.scrape(), { since, exporters })).toEqual([])
      }
    }
    await sending.end()
    expect(sending.odd).toEqual([])
    // On a busy machine 200 ms may be too short to deliver what came last.
    await until('the last one has got everything', async () => {
      const { queued, inFlight } = exporterBooks(await otlier.scrape(), 'otlp/0', 'traces')
      return queued + inFlight === 0
    })
    await otlier.stop()
    // The one that always asks for patience may still have been draining.
    const lossy = otlier.says('stopping lost').map(({ fields }) => fields['exporter'])
    expect(lossy.filter(id => id !== 'otlp/2')).toEqual([])
  })

  test('the settings of a queue hold at once, and its destination keeps its connection', async () => {
    const peer = await backend()
    const otlier = await service(toGrpc(peer.grpc))
    const sending = load(otlier.client)
    await sending.more(50)
    const capacity = 'otlier_exporter_queue_capacity{exporter="otlp"}'
    expect(await otlier.reconfigure([...toGrpc(peer.grpc), 'exporters.otlp.sending_queue.size_mib=7'])).toBe(
      true,
    )
    expect((await otlier.metrics()).get(capacity)).toBe(7 * 2 ** 20)
    await sending.more(50)
    await sending.end()
    await otlier.stop()
    expect(new Set(peer.requests.map(({ connection }) => connection)).size).toBe(1)
  })
})
