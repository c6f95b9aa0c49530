//! The OpenTelemetry SDK for Node, by environment variables alone, through a running Otlier to a recording backend.
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { run } from '../kit/programs.ts'
import type { Sent } from '../kit/sdk-client.ts'
import { grpcBackend, httpBackend } from './backends.ts'
import { type Client, exchange } from './exchange.ts'

const PROGRAM = fileURLToPath(new URL('../kit/sdk-client.ts', import.meta.url))

type Protocol = 'grpc' | 'http/protobuf' | 'http/json'

const nodeClient =
  (protocol: Protocol, compression: 'none' | 'gzip'): Client =>
  async (service, phase) => {
    const env = {
      OTEL_SERVICE_NAME: 'shop-node',
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${protocol === 'grpc' ? service.grpcPort : service.httpPort}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_COMPRESSION: compression,
    }
    const { status, stdout, stderr } = await run(process.execPath, [PROGRAM, phase], { env })
    if (status !== 0) throw new Error(`the Node client ended with ${status}: ${stderr}`)
    return JSON.parse(stdout) as Sent
  }

for (const protocol of ['grpc', 'http/protobuf', 'http/json'] as const)
  for (const compression of ['none', 'gzip'] as const) {
    const start = protocol === 'http/protobuf' ? httpBackend : grpcBackend
    const title = `the Node SDK over ${protocol}, compression ${compression}: every item arrives once, the slow span with its reason and its event`
    test(title, async () => {
      const backend = await start(compression)
      try {
        const service = await exchange(nodeClient(protocol, compression), backend)
        expect((await service.stop()).status).toBe(0)
      } finally {
        await backend.stop()
      }
    })
  }

for (const start of [grpcBackend, httpBackend])
  test(`with a backend that takes traces alone (${start.name}) spans and marks arrive, one line says what does not, and SIGTERM exits 0`, async () => {
    const backend = await start('gzip', 'traces')
    try {
      const service = await exchange(nodeClient('grpc', 'gzip'), backend, 'traces')
      // The banner has it within a second.
      await expect
        .poll(() => service.said(), { timeout: 10_000 })
        .toMatch(/ does not take metrics and logs: kept from it/)
      const end = await service.stop()
      expect(end.status).toBe(0)
      // Found out at the first answer, and said once for each signal that has no taker.
      const lines = end.stderr.split('\n').filter(line => /does not take/.test(line))
      expect(lines.filter(line => /metrics/.test(line))).toHaveLength(1)
      expect(lines.filter(line => /logs/.test(line))).toHaveLength(1)
      expect(lines.length).toBeLessThanOrEqual(2)
      expect(end.stdout).toMatch(/ does not take .*metrics/)
      expect(end.stdout).toMatch(/ does not take .*logs/)
    } finally {
      await backend.stop()
    }
  })
