//! The beginning and the end of a receiver: the port, TLS, and a stop that loses nothing and accepts nothing after it.
import http, { Agent } from 'node:http'
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ACCEPTED, type Outcome } from '../../../src/flow/sink.ts'
import { certificateAuthority } from '../../kit/certificates.ts'
import { frame, httpCall, PROTOBUF } from '../../kit/client.ts'
import { grpcClient, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'
import { simulatedWorld } from '../../kit/world.ts'

const EMPTY = new Uint8Array(0)

/** Whether anybody listens there. */
const listens = (port: number) =>
  new Promise<boolean>(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })

describe.each(['grpc', 'http'] as const)('over %s', transport => {
  const sender = (port: number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const client = transport === 'grpc' ? grpcClient(port) : null
    /** True when it was taken, false when it was not. Nobody answers: false. */
    return async (): Promise<boolean> => {
      if (client === null)
        return (await httpCall({ port, headers: PROTOBUF, body: EMPTY, agent })).status === 200
      if (client.session.closed || client.session.destroyed) return false
      return (await client.export('traces', EMPTY)).code === 0
    }
  }

  test('a port that is taken is the error of the system', async () => {
    const { port } = await startReceiver(transport, recordingSink())
    await expect(startReceiver(transport, recordingSink(), { port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      port,
    })
  })

  test('a stop lets the request in flight end, listens no longer, and ends idle connections', async () => {
    let answer = (_: Outcome) => {}
    const sink = recordingSink(() => new Promise<Outcome>(resolve => (answer = resolve)))
    const receiver = await startReceiver(transport, sink)
    const idle = sender(receiver.port)
    const first = idle()
    await sink.received(1)
    answer(ACCEPTED)
    expect(await first).toBe(true)
    const flying = sender(receiver.port)()
    await sink.received(2)
    const stopped = receiver.stop(60_000)
    expect(await listens(receiver.port)).toBe(false)
    answer(ACCEPTED)
    expect(await flying).toBe(true)
    await stopped
    expect(await idle()).toBe(false)
    expect(sink.batches.length).toBe(2)
  })

  test('what is being received when a stop begins is answered that the service stops, if it has not come by the deadline', async () => {
    const sink = recordingSink()
    const receiver = await startReceiver(transport, sink)
    const half =
      transport === 'grpc'
        ? grpcClient(receiver.port)
            .call({ body: [frame(EMPTY, 0, 9)], open: true })
            .then(({ code }) => code)
        : httpCall({
            port: receiver.port,
            headers: { ...PROTOBUF, 'content-length': 9 },
            body: 'x',
            open: true,
          }).then(({ status }) => status)
    await eventuallyUsed(receiver.admission)
    const stopped = receiver.stop(50)
    expect(await half).toBe(transport === 'grpc' ? 14 : 503)
    await stopped
    expect(sink.batches).toEqual([])
    expect(receiver.admission.usedBytes).toBe(0)
  })

  test('what is being received when a stop begins, and ends in time, is taken and answered', async () => {
    const sink = recordingSink()
    const receiver = await startReceiver(transport, sink)
    const outcome = new Promise<number>(resolve => {
      if (transport === 'http') {
        const headers = { ...PROTOBUF, 'content-length': 2 }
        const request = http.request({
          host: '127.0.0.1',
          port: receiver.port,
          path: '/v1/traces',
          method: 'POST',
          headers,
        })
        request.on('response', response => resolve(response.statusCode ?? 0)).on('error', () => resolve(0))
        request.write(Uint8Array.of(10))
        void eventuallyUsed(receiver.admission).then(() => {
          void receiver.stop(20_000)
          request.end(Uint8Array.of(0))
        })
        return
      }
      let stream: http2.ClientHttp2Stream | null = null
      const call = grpcClient(receiver.port).call({
        body: [frame(Uint8Array.of(10), 0, 2)],
        open: true,
        onWritten: one => (stream = one),
      })
      void call.then(({ code }) => resolve(code))
      void eventuallyUsed(receiver.admission).then(() => {
        void receiver.stop(20_000)
        stream?.end(Uint8Array.of(0))
      })
    })
    expect(await outcome).toBe(transport === 'grpc' ? 0 : 200)
    expect(sink.batches.map(({ bytes }) => [...bytes])).toEqual([[10, 0]])
  })

  test('while it listens, it can be told what it takes, over the connections that there are', async () => {
    const sink = recordingSink()
    const receiver = await startReceiver(transport, sink)
    const send = sender(receiver.port)
    expect(await send()).toBe(true)
    receiver.change({ forwardHeaders: [], maxRecvBytes: 2 ** 20, signals: ['logs'] })
    expect(await send()).toBe(false)
    receiver.change({ forwardHeaders: [], maxRecvBytes: 2 ** 20, signals: ['traces'] })
    expect(await send()).toBe(true)
  })

  test('a stop cuts what has not ended by its deadline, and a second call waits for the same end', async () => {
    const world = simulatedWorld(1)
    const sink = recordingSink(() => new Promise<Outcome>(() => {}))
    const receiver = await startReceiver(transport, sink, { world, receiveTimeoutMs: 3_600_000 })
    const flying = sender(receiver.port)()
    await sink.received(1)
    const stops = [receiver.stop(20_000), receiver.stop(20_000)]
    let ended = 0
    for (const stop of stops) void stop.then(() => ended++)
    await world.advance(19_999)
    expect(ended).toBe(0)
    await world.advance(1)
    await Promise.all(stops)
    expect(await flying).toBe(false)
  })

  test('under load, everything that was answered as taken had reached the sink, and nothing comes after the stop', async () => {
    const sink = recordingSink(async () => {
      await new Promise(resolve => setTimeout(resolve, 1))
      return ACCEPTED
    })
    const receiver = await startReceiver(transport, sink)
    let taken = 0
    const senders = Array.from({ length: 8 }, async () => {
      const send = sender(receiver.port)
      while (await send()) taken++
    })
    await sink.received(100)
    await receiver.stop(5_000)
    const delivered = sink.batches.length
    await Promise.all(senders)
    expect(taken).toBe(delivered)
    expect(sink.batches.length).toBe(delivered)
    expect(await listens(receiver.port)).toBe(false)
  })

  test('connections without a request hold a stop for a moment only, however far its deadline', async () => {
    const receiver = await startReceiver(transport, recordingSink())
    const begun = ['', 'POST /v1/traces HT', 'PRI * HTTP/2.0\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']
    const sockets = begun.map(text => {
      const socket = net.connect(receiver.port, '127.0.0.1', () => socket.write(text))
      socket.on('error', () => {})
      return socket
    })
    onTestFinished(() => sockets.forEach(socket => void socket.destroy()))
    expect(await sender(receiver.port)()).toBe(true)
    await receiver.stop(3_600_000)
    expect(await listens(receiver.port)).toBe(false)
  })

  test('half-open connections and half-sent requests do not hold a stop past its deadline', async () => {
    const receiver = await startReceiver(transport, recordingSink())
    const sockets = Array.from({ length: 3 }, () => net.connect(receiver.port, '127.0.0.1'))
    for (const socket of sockets) socket.on('error', () => {})
    onTestFinished(() => sockets.forEach(socket => void socket.destroy()))
    sockets[1].write('POST /v1/traces HT')
    sockets[2].write('PRI * HTTP/2.0\r\n')
    if (transport === 'grpc') void grpcClient(receiver.port).call({ body: [frame(EMPTY, 0, 9)], open: true })
    else
      void httpCall({
        port: receiver.port,
        headers: { ...PROTOBUF, 'content-length': 9 },
        body: 'x',
        open: true,
      })
    await eventuallyUsed(receiver.admission)
    await receiver.stop(50)
    expect(await listens(receiver.port)).toBe(false)
  })
})

async function eventuallyUsed(admission: { readonly usedBytes: number }): Promise<void> {
  while (admission.usedBytes === 0) await new Promise(resolve => setTimeout(resolve, 2))
}

describe('TLS', () => {
  const authority = certificateAuthority()
  const server = authority.issue('127.0.0.1')
  const client = authority.issue('a client')
  const files = { certFile: 'cert.pem', keyFile: 'key.pem' }

  /** A world whose disk holds the certificates. */
  const world = () => {
    const simulated = simulatedWorld(5)
    for (const [path, text] of [
      ['cert.pem', server.cert],
      ['key.pem', server.key],
      ['ca.pem', authority.cert],
    ])
      simulated.disk.files.set(path, Buffer.from(text))
    return simulated
  }

  test('gRPC, HTTP/1.1 and HTTP/2 are served behind a certificate, and nothing without TLS is', async () => {
    const sink = recordingSink()
    const grpc = await startReceiver('grpc', sink, { tls: files, world: world() })
    const http = await startReceiver('http', sink, { tls: files, world: world() })
    const ca = authority.cert
    expect((await grpcClient(grpc.port, { ca }).export('traces', EMPTY)).code).toBe(0)
    expect((await httpCall({ port: http.port, headers: PROTOBUF, body: EMPTY, ca })).status).toBe(200)
    const session = http2.connect(`https://127.0.0.1:${http.port}`, { ca })
    onTestFinished(() => session.destroy())
    const status = await new Promise(resolve => {
      const stream = session.request({ ':method': 'POST', ':path': '/v1/logs', ...PROTOBUF })
      stream.on('response', headers => resolve(headers[':status']))
      stream.end()
    })
    expect([status, session.alpnProtocol]).toEqual([200, 'h2'])
    expect((await grpcClient(grpc.port).export('traces', EMPTY)).code).toBe(-1)
    expect((await httpCall({ port: http.port, headers: PROTOBUF, body: EMPTY })).status).toBe(0)
    expect(sink.batches.length).toBe(3)
  })

  test('with client_ca_file only clients with a certificate of that authority are served', async () => {
    const sink = recordingSink()
    const tls = { ...files, clientCaFile: 'ca.pem' }
    const grpc = await startReceiver('grpc', sink, { tls, world: world() })
    const http = await startReceiver('http', sink, { tls, world: world() })
    const ca = authority.cert
    const stranger = certificateAuthority('Another').issue('a client')
    expect((await grpcClient(grpc.port, { ca, ...client }).export('traces', EMPTY)).code).toBe(0)
    expect((await httpCall({ port: http.port, headers: PROTOBUF, body: EMPTY, ca, ...client })).status).toBe(
      200,
    )
    for (const shown of [{}, stranger]) {
      expect((await grpcClient(grpc.port, { ca, ...shown }).export('traces', EMPTY)).code).toBe(-1)
      expect((await httpCall({ port: http.port, headers: PROTOBUF, body: EMPTY, ca, ...shown })).status).toBe(
        0,
      )
    }
    expect(sink.batches.length).toBe(2)
  })

  test.each(['grpc', 'http'] as const)(
    'over %s, a missing file is named with its setting',
    async transport => {
      const tls = { ...files, keyFile: 'none.pem' }
      const start = startReceiver(transport, recordingSink(), { tls, world: world() })
      await expect(start).rejects.toThrow('key_file: none.pem does not exist')
    },
  )
})
