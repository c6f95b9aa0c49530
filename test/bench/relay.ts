//! What the service is measured against: a relay by grpc-js on both sides that passes raw buffers and answers when the backend has.
import * as grpc from '@grpc/grpc-js'

const PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const asIs = (bytes: Buffer) => bytes
/** The largest message in either direction: none is too large. */
const UNBOUNDED = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 }

const upstream = new grpc.Client(process.argv[2], grpc.credentials.createInsecure(), {
  ...UNBOUNDED,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
})
const server = new grpc.Server({ ...UNBOUNDED, 'grpc.enable_channelz': 0 })
const method = {
  path: PATH,
  requestStream: false,
  responseStream: false,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
}
const relay: grpc.handleUnaryCall<Buffer, Buffer> = (call, answer) => {
  upstream.makeUnaryRequest(PATH, asIs, asIs, call.request, answer)
}
server.addService({ Export: method }, { Export: relay })
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  console.log(`port ${port}`)
})
