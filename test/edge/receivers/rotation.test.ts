//! Certificates of receivers: who is refused by them, and how they are replaced under traffic without a restart.
import { EventEmitter } from 'node:events'
import { Agent } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import * as tls from 'node:tls'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Admission } from '../../../src/edge/admission.ts'
import { startGrpcReceiver } from '../../../src/edge/grpc-in.ts'
import { startHttpReceiver } from '../../../src/edge/http-in.ts'
import { type Authority, type Certificate, certificateAuthority } from '../../kit/certificates.ts'
import { httpCall, PROTOBUF } from '../../kit/client.ts'
import { recordingLog } from '../../kit/log.ts'
import { grpcClient, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'
import { simulatedWorld } from '../../kit/world.ts'

const DAY_MS = 86_400_000
const LOOK_MS = 10_000
/** What a client says to show its certificate, at most. */
const HANDSHAKE_BYTES = 8192
/** What Node reads of a socket at once. */
const CHUNK_BYTES = 65_536
const first = certificateAuthority('First')
const second = certificateAuthority('Second')
const TRUSTED = first.cert + second.cert

type Transport = 'grpc' | 'http'

/** A receiver whose certificate is by `first`, and the files of it, which may be written anew. */
async function serve(transport: Transport, clientCa: Authority | null = null) {
  const world = simulatedWorld(11)
  const { log, lines } = recordingLog()
  const write = (path: string, text: string) => world.disk.files.set(path, Buffer.from(text))
  const install = ({ cert, key }: Certificate) => {
    write('cert.pem', cert)
    write('key.pem', key)
  }
  install(first.issue('127.0.0.1'))
  if (clientCa !== null) write('ca.pem', clientCa.cert)
  const sink = recordingSink()
  const start = transport === 'grpc' ? startGrpcReceiver : startHttpReceiver
  const options = {
    host: '127.0.0.1',
    port: 0,
    instanceId: 'self',
    admission: new Admission(2 ** 30),
    // The clock is moved by minutes here, and no request is late.
    receiveTimeoutMs: 3_600_000,
    tls: { certFile: 'cert.pem', keyFile: 'key.pem', clientCaFile: clientCa === null ? null : 'ca.pem' },
  }
  const receiver = await start(options, sink, world, log)
  onTestFinished(() => receiver.stop(0))
  return { receiver, port: receiver.port, world, lines, write, install, sink, admission: options.admission }
}

/** Sends one request on a connection of its own: whether it was taken. */
async function sends(transport: Transport, port: number, shown: Partial<Certificate> = {}, body = '') {
  const ca = TRUSTED
  if (transport === 'grpc')
    return (await grpcClient(port, { ca, ...shown }).export('traces', Buffer.from(body))).code === 0
  return (await httpCall({ port, headers: PROTOBUF, body, ca, ...shown })).status === 200
}

/** Senders on connections that last, and on one for each request, until they are told to end: how many requests have failed, and were taken. */
function traffic(transport: Transport, port: number, shown: Partial<Certificate> = {}) {
  const agent = new Agent({ keepAlive: true, maxSockets: 2, ca: TRUSTED, ...shown })
  const kept = grpcClient(port, { ca: TRUSTED, ...shown })
  let going = true
  onTestFinished(() => {
    going = false
    agent.destroy()
  })
  let taken = 0
  let failed = 0
  const loop = async (send: () => Promise<boolean>) => {
    while (going) (await send()) ? taken++ : failed++
  }
  const onKept = async () =>
    transport === 'grpc'
      ? (await kept.export('traces', new Uint8Array(9))).code === 0
      : (await httpCall({ port, headers: PROTOBUF, body: 'x', ca: TRUSTED, agent })).status === 200
  const loops = [loop(onKept), loop(onKept), loop(() => sends(transport, port, shown))]
  return async () => {
    going = false
    await Promise.all(loops)
    return [failed, taken]
  }
}

/** What the server on this port sees from now until the end of the test: its sockets, as they lie below TLS, and what becomes of them. */
function watchServer(port: number) {
  const sockets: Socket[] = []
  const refusals: unknown[] = []
  const events: string[] = []
  const spy = vi.spyOn(tls.Server.prototype, 'emit')
  spy.mockImplementation(function (this: tls.Server, event: string | symbol, ...args: unknown[]) {
    const emitted = EventEmitter.prototype.emit.call(this, event, ...args)
    if ((this.address() as AddressInfo | null)?.port !== port) return emitted
    events.push(String(event))
    if (event === 'connection') sockets.push(args[0] as Socket)
    if (event === 'tlsClientError') {
      const [error, { authorizationError }] = args as [NodeJS.ErrnoException, tls.TLSSocket]
      refusals.push(authorizationError ?? error.code)
    }
    return emitted
  })
  onTestFinished(() => spy.mockRestore())
  return { sockets, refusals, events }
}

/** Who signed the certificate that a new connection is shown. */
function issuer(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', ca: TRUSTED, ALPNProtocols: ['h2'] }, () => {
      resolve(String(socket.getPeerCertificate().issuer.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

describe.each(['grpc', 'http'] as const)('over %s', transport => {
  test('a client certificate that is missing, expired, not valid yet, or of another authority opens nothing', async () => {
    const { port, sink, admission } = await serve(transport, first)
    const now = Date.now()
    const refused = [
      [{}, 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'],
      [first.issue('client', { fromMs: now - 2 * DAY_MS, toMs: now - DAY_MS }), 'CERT_HAS_EXPIRED'],
      [first.issue('client', { fromMs: now + DAY_MS, toMs: now + 2 * DAY_MS }), 'CERT_NOT_YET_VALID'],
      [second.issue('client'), 'SELF_SIGNED_CERT_IN_CHAIN'],
      // Of another authority with the same name.
      [certificateAuthority('First').issue('client'), 'CERT_SIGNATURE_FAILURE'],
    ] as const
    const body = 'x'.repeat(2 ** 20)
    const { sockets, refusals, events } = watchServer(port)
    for (const [shown, why] of refused) {
      expect([why, await sends(transport, port, shown, body)]).toEqual([why, false])
      await expect.poll(() => refusals.at(-1)).toBe(why)
    }
    // What came with the handshake has been read from the socket, once and still encrypted, and nothing after it.
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual(refused.map(() => true))
    for (const { bytesRead } of sockets) expect(bytesRead).toBeLessThanOrEqual(HANDSHAKE_BYTES + CHUNK_BYTES)
    expect(refusals).toHaveLength(refused.length)
    expect(new Set(events)).toEqual(new Set(['connection', 'tlsClientError', 'clientError']))
    expect([sink.batches.length, admission.usedBytes]).toEqual([0, 0])
    expect(await sends(transport, port, first.issue('client'), body)).toBe(true)
    expect(sockets.at(-1)?.bytesRead).toBeGreaterThan(body.length)
  })

  test('under traffic a new certificate is shown to new connections, and no request fails', async () => {
    const { port, world, install, sink, lines } = await serve(transport)
    const end = traffic(transport, port)
    for (let n = 1; n <= 6; n++) {
      const authority = n % 2 === 1 ? second : first
      install(authority.issue('127.0.0.1'))
      await sink.received(n * 20)
      await world.advance(LOOK_MS)
      expect(await issuer(port)).toBe(n % 2 === 1 ? 'Second' : 'First')
    }
    expect(await end()).toEqual([0, sink.batches.length])
    expect(lines.filter(({ level }) => level === 'info').length).toBe(6)
    expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
  })

  test('a new client_ca_file decides about new connections', async () => {
    const { port, world, write } = await serve(transport, first)
    write('ca.pem', second.cert)
    await world.advance(LOOK_MS)
    expect(await sends(transport, port, first.issue('client'))).toBe(false)
    expect(await sends(transport, port, second.issue('client'))).toBe(true)
  })

  test('under traffic a client_ca_file that is replaced again and again fails no request of a client that it still trusts', async () => {
    const { port, world, write, sink, lines } = await serve(transport, first)
    const end = traffic(transport, port, first.issue('client'))
    let others = 0
    for (let n = 1; n <= 6; n++) {
      const isTrusted = n % 2 === 1
      write('ca.pem', isTrusted ? TRUSTED : first.cert)
      await sink.received(n * 20)
      await world.advance(LOOK_MS)
      expect(await sends(transport, port, second.issue('client'))).toBe(isTrusted)
      if (isTrusted) others++
    }
    const [failed, taken] = await end()
    expect([failed, taken + others]).toEqual([0, sink.batches.length])
    expect(lines.filter(({ level }) => level === 'info').length).toBe(6)
    expect(lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
  })

  test.each([
    ['is no certificate', { 'cert.pem': 'junk' }, /tls\.cert_file: cert\.pem holds no certificate in PEM/],
    ['is no authority', { 'ca.pem': 'junk' }, /tls\.client_ca_file: ca\.pem holds no certificate in PEM/],
    ['does not fit its key', { 'key.pem': second.issue('x').key }, /cannot be used: .*mismatch/],
    ['is no key', { 'key.pem': 'junk' }, /cannot be used/],
    ['is gone', { 'cert.pem': null }, /tls\.cert_file: cert\.pem does not exist/],
  ])('a new file that %s leaves the old in force, and is told once', async (_, files, cause) => {
    const { port, world, write, lines } = await serve(transport, first)
    for (const [path, text] of Object.entries(files)) {
      if (text === null) world.disk.files.delete(path)
      else write(path, text)
    }
    await world.advance(6 * LOOK_MS)
    expect(await sends(transport, port, first.issue('client'))).toBe(true)
    expect(lines.filter(({ level }) => level !== 'debug')).toEqual([
      {
        level: 'error',
        message: 'files have changed and cannot be used: what they held before stays in use',
        fields: { files: ['cert.pem', 'key.pem', 'ca.pem'], cause: expect.stringMatching(cause) },
      },
    ])
  })

  test('a pair that is half replaced when it is looked at is taken whole at the next look, without a word', async () => {
    const { port, world, write, lines } = await serve(transport)
    const { cert, key } = second.issue('127.0.0.1')
    write('cert.pem', cert)
    await world.advance(LOOK_MS)
    expect(await issuer(port)).toBe('First')
    write('key.pem', key)
    await world.advance(LOOK_MS)
    expect(await issuer(port)).toBe('Second')
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('with client certificates no session is resumed, so that each connection is checked anew', async () => {
    const reused = async (clientCa: Authority | null) => {
      const { port } = await serve(transport, clientCa)
      const shown = first.issue('client')
      const options = { port, host: '127.0.0.1', ca: TRUSTED, ...shown, ALPNProtocols: ['h2'] }
      const session = await new Promise<Buffer | null>(resolve => {
        const socket = tls.connect(options)
        const give = (ticket: Buffer | null) => {
          resolve(ticket)
          socket.destroy()
        }
        socket.on('error', () => give(null))
        // Offered or not, it comes with the server's first bytes: the settings of HTTP/2.
        socket.once('session', give)
        socket.setTimeout(1000, () => give(null))
        socket.resume()
      })
      if (session === null) return false
      return await new Promise<boolean>(resolve => {
        const socket = tls.connect({ ...options, session }, () => {
          resolve(socket.isSessionReused())
          socket.destroy()
        })
        socket.on('error', () => {})
      })
    }
    expect([await reused(null), await reused(first)]).toEqual([true, false])
  })

  test('a start that fails for its tokens follows no certificate either', async () => {
    const { world, receiver } = await serve(transport)
    await receiver.stop(0)
    const start = startReceiver(transport, recordingSink(), {
      world,
      tls: { certFile: 'cert.pem', keyFile: 'key.pem' },
      auth: { bearerTokenFile: 'none', basicFile: null },
    })
    await expect(start).rejects.toThrow('auth.bearer_token_file: none does not exist')
    expect(world.timers()).toBe(0)
  })

  test('a stop follows no file any longer', async () => {
    const { world, receiver } = await serve(transport)
    expect(world.timers()).toBe(1)
    await receiver.stop(0)
    expect(world.timers()).toBe(0)
  })
})
