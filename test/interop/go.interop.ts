//! The OpenTelemetry SDK for Go through a running Otlier to a recording backend.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildGo, type GoClient } from '../kit/go.ts'
import { grpcBackend, httpBackend } from './backends.ts'
import { type Client, exchange } from './exchange.ts'

let go: GoClient | string = 'not built'
beforeAll(async () => {
  go = await buildGo()
  if (typeof go === 'string') console.log(`SKIP: ${go}`)
}, 480_000)
afterAll(async () => {
  if (typeof go !== 'string') await go.remove()
})

const goClient =
  (peer: GoClient, protocol: 'grpc' | 'http/protobuf', compression: 'none' | 'gzip'): Client =>
  (service, phase) =>
    peer.client(phase, {
      OTEL_SERVICE_NAME: 'shop-go',
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${protocol === 'grpc' ? service.grpcPort : service.httpPort}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_COMPRESSION: compression,
    })

for (const protocol of ['grpc', 'http/protobuf'] as const)
  for (const compression of ['none', 'gzip'] as const) {
    const start = protocol === 'grpc' ? grpcBackend : httpBackend
    const title = `the Go SDK over ${protocol}, compression ${compression}: every item arrives once, the slow span with its reason and its event`
    test(title, async context => {
      if (typeof go === 'string') return context.skip(go)
      const backend = await start(compression)
      try {
        const service = await exchange(goClient(go, protocol, compression), backend)
        expect((await service.stop()).status).toBe(0)
      } finally {
        await backend.stop()
      }
    })
  }
