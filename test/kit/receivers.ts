//! Receivers for tests, on free ports of the loopback, stopped by themselves at the end of the test.
import { onTestFinished } from 'vitest'
import { silentLog } from '../../src/base/log.ts'
import { realWorld, type World } from '../../src/base/world.ts'
import { Admission } from '../../src/edge/admission.ts'
import { startGrpcReceiver } from '../../src/edge/grpc-in.ts'
import { type HttpReceiverOptions, startHttpReceiver } from '../../src/edge/http-in.ts'
import type { Receiver } from '../../src/edge/receiver.ts'
import type { Batch, Sink } from '../../src/flow/sink.ts'
import { GrpcClient } from './client.ts'

export interface Started extends Receiver {
  readonly admission: Admission
}

export type StartOptions = Partial<HttpReceiverOptions> & { readonly world?: World }

const GIB = 2 ** 30

/** `instanceId` is `self` unless told otherwise. */
export async function startReceiver(
  transport: 'grpc' | 'http',
  sink: Sink<Batch>,
  { world = realWorld, ...options }: StartOptions = {},
): Promise<Started> {
  const admission = options.admission ?? new Admission(GIB)
  const start = transport === 'grpc' ? startGrpcReceiver : startHttpReceiver
  const all = { host: '127.0.0.1', port: 0, instanceId: 'self', ...options, admission }
  const receiver = await start(all, sink, world, silentLog)
  onTestFinished(() => receiver.stop(0))
  return { ...receiver, admission }
}

/** A raw gRPC client that is closed by itself at the end of the test. */
export function grpcClient(port: number, options?: ConstructorParameters<typeof GrpcClient>[1]): GrpcClient {
  const client = new GrpcClient(port, options)
  onTestFinished(() => client.close())
  return client
}
