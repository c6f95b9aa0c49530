//! Recording backends beside the C-core one: the grpc-js reference server, and OTLP/HTTP on node:http.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import * as grpc from '@grpc/grpc-js'
import { SIGNALS, type Signal } from '../../src/flow/sink.ts'
import type { PythonBackend } from '../kit/python.ts'
import type { Backend } from './exchange.ts'

const SERVICES: Record<Signal, string> = {
  traces: 'opentelemetry.proto.collector.trace.v1.TraceService',
  metrics: 'opentelemetry.proto.collector.metrics.v1.MetricsService',
  logs: 'opentelemetry.proto.collector.logs.v1.LogsService',
}

type Compression = 'none' | 'gzip'
type Recorded = { signal: Signal; bytes: Uint8Array }

const exporter = (type: string, endpoint: string, compression: Compression) =>
  `  ${type}/backend:\n    endpoint: ${endpoint}\n    compression: ${compression}\n`

/** With `traces` the other two services are not there: the server answers UNIMPLEMENTED, as Jaeger does. */
export async function grpcBackend(
  compression: Compression,
  taken: 'all' | 'traces' = 'all',
): Promise<Backend> {
  const recorded: Recorded[] = []
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 64 * 2 ** 20 })
  const asIs = (bytes: Buffer) => bytes
  for (const signal of taken === 'all' ? SIGNALS : (['traces'] as const)) {
    const path = `/${SERVICES[signal]}/Export`
    const method = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    }
    server.addService(
      { Export: method },
      {
        Export: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
          recorded.push({ signal, bytes: call.request })
          done(null, Buffer.alloc(0))
        },
      },
    )
  }
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  return {
    exporters: exporter('otlp', `http://127.0.0.1:${port}`, compression),
    requests: () => recorded,
    stop: async () => server.forceShutdown(),
  }
}

/** Takes protobuf. With `traces` the other two paths answer 404. */
export async function httpBackend(
  compression: Compression,
  taken: 'all' | 'traces' = 'all',
): Promise<Backend> {
  const recorded: Recorded[] = []
  const server = createServer(async (request, response) => {
    const body = await buffer(request)
    const signal = SIGNALS.find(name => request.url === `/v1/${name}`)
    if (signal === undefined || (taken === 'traces' && signal !== 'traces')) {
      response.writeHead(404).end()
      return
    }
    recorded.push({ signal, bytes: request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body })
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    exporters: exporter(
      'otlphttp',
      `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      compression,
    ),
    requests: () => recorded,
    async stop() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** `compression` is that of the requests; the answers have what the backend was started with. */
export const cCoreBackend = (backend: PythonBackend, compression: Compression): Backend => ({
  exporters: exporter('otlp', `http://127.0.0.1:${backend.port}`, compression),
  requests: () => backend.requests(),
  stop: () => backend.stop(),
})
