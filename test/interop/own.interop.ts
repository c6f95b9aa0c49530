//! What a running Otlier says about itself: /metrics by promtool's judgement, and its own metrics by OTLP when switched on.
import { expect, test } from 'vitest'
import { attributesOf, decodeRequest } from '../kit/messages.ts'
import { expectLinted } from '../kit/promtool.ts'
import { grpcBackend } from './backends.ts'
import { startService } from './service.ts'

test('promtool finds nothing wrong with what a running Otlier serves', async context => {
  const backend = await grpcBackend('none')
  const service = await startService(backend.exporters)
  try {
    const input = await service.scrape()
    expect(input).toContain('otlier_receiver_accepted_spans_total{')
    expectLinted(input, context)
  } finally {
    await service.stop()
    await backend.stop()
  }
})

test('with service.metrics.otlp its metrics reach the backend, in the accounts, and without it none do', async () => {
  const backend = await grpcBackend('none')
  try {
    for (const switchedOn of [false, true]) {
      const service = await startService(backend.exporters, [`service.metrics.otlp=${switchedOn}`])
      expect((await service.stop()).status).toBe(0)
      expect(backend.requests().length > 0).toBe(switchedOn)
    }
    const [{ signal, bytes }] = backend.requests()
    const [group] = decodeRequest(signal, bytes).resource_metrics
    expect(attributesOf(group.resource.attributes)).toMatchObject({
      'service.name': 'otlier',
      'service.instance.id': expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    const names: string[] = group.scope_metrics[0].metrics.map((metric: { name: string }) => metric.name)
    expect(names).toEqual(
      expect.arrayContaining([
        'otlier_process_uptime',
        'otlier_receiver_accepted_spans',
        'otlier.series.tracked',
      ]),
    )
  } finally {
    await backend.stop()
  }
})
