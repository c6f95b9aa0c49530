//! Otlier's own gRPC server keeps every law of A2.
import { startReceiver } from '../../kit/receivers.ts'
import { grpcLaws } from './grpc.suite.ts'

grpcLaws('the receiver', async (sink, setting) => (await startReceiver('grpc', sink, setting)).port, {})
