//! Clients of exporters are replaced at their age and when their certificates change, and no request fails for it.
import { createServer } from 'node:http'
import { createServer as createHttp2Server, createSecureServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test } from 'vitest'
import { realWorld, type World } from '../../../src/base/world.ts'
import { CONNECTION_AGE_MS } from '../../../src/edge/age.ts'
import { makeExporter } from '../../../src/edge/exporter.ts'
import type { Answer } from '../../../src/flow/sink.ts'
import { certificateAuthority } from '../../kit/certificates.ts'
import { recordingLog } from '../../kit/log.ts'
import { simulatedWorld } from '../../kit/world.ts'
import { ask, TRANSPORTS, type Transport } from './scene.ts'

const LOOK_MS = 10_000
const authority = certificateAuthority()

/** What a backend saw of one request: the connection, and the name in the client's certificate. */
interface Seen {
  readonly connection: number
  readonly client: string
}

/** A backend that takes everything, over TLS with client certificates or without any, and holds its answers while told to. */
async function startBackend(transport: Transport, secure: boolean) {
  const seen: Seen[] = []
  const sockets = new Set<Socket>()
  let held: Promise<void> = Promise.resolve()
  let release = () => {}
  const note = (socket: Socket) => {
    const client = secure ? String((socket as TLSSocket).getPeerCertificate().subject?.CN) : ''
    seen.push({ connection: socket.remotePort ?? 0, client })
  }
  const credentials = {
    ...authority.issue('127.0.0.1'),
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: true,
    allowHTTP1: true,
  }
  const overGrpc = async (stream: ServerHttp2Stream) => {
    note(stream.session?.socket as unknown as Socket)
    stream.on('error', () => {})
    stream.resume()
    await held
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.alloc(5))
  }
  let server: Server
  if (transport === 'otlp') {
    const http2 = secure ? createSecureServer(credentials) : createHttp2Server()
    http2.on('stream', (stream: ServerHttp2Stream) => void overGrpc(stream))
    http2.on('session', session => session.on('error', () => {}))
    server = http2
  } else {
    const http1 = secure ? createSecureServer(credentials) : createServer()
    http1.on('request', async (request, response) => {
      note(request.socket)
      request.resume()
      await held
      response.setHeader('content-type', 'application/x-protobuf')
      response.end()
    })
    server = http1
  }
  const opened = secure ? 'secureConnection' : 'connection'
  server.on(opened, (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    sockets,
    hold() {
      held = new Promise(resolve => (release = resolve))
      return () => release()
    },
  }
}

/** An exporter over TLS or without, in a world whose clock and disk the test owns, while sockets have the real one. */
function through(type: Transport, port: number, secure: boolean) {
  const simulated = simulatedWorld(3)
  const world: World = {
    ...realWorld,
    monotonic: simulated.monotonic,
    random: simulated.random,
    disk: simulated.disk,
    // Deadlines of requests are real; what looks at files follows the clock of the test.
    after: (delayMs, act) => (delayMs === LOOK_MS ? simulated : realWorld).after(delayMs, act),
  }
  const write = (path: string, text: string) => simulated.disk.files.set(path, Buffer.from(text))
  const install = (name: string) => {
    const { cert, key } = authority.issue(name)
    write('client.pem', cert)
    write('client.key', key)
  }
  write('ca.pem', authority.cert)
  install('one')
  const { log, lines } = recordingLog()
  const exporter = makeExporter(
    {
      type,
      id: type,
      endpoint: {
        url: `${secure ? 'https' : 'http'}://127.0.0.1:${port}`,
        scheme: secure ? 'https' : 'http',
        host: '127.0.0.1',
        port,
      },
      plain: !secure,
      headers: {},
      compression: 'none',
      timeoutMs: 8000,
      tls: {
        caFile: 'ca.pem',
        certFile: 'client.pem',
        keyFile: 'client.key',
        insecureSkipVerify: false,
        serverNameOverride: null,
      },
      encoding: 'proto',
      exact: false,
    },
    { instanceId: 'i', version: '0', world, log },
  )
  onTestFinished(() => exporter.close())
  return { exporter, lines, world: simulated, write, install }
}

const until = async (done: () => boolean) => {
  while (!done()) await new Promise(resolve => setTimeout(resolve, 2))
}
const kinds = (answers: readonly Answer[]) => [...new Set(answers.map(({ kind }) => kind))]

describe.each(TRANSPORTS)('%s', type => {
  test('D6 a connection is used for five minutes, a tenth more or less, and then another; the old one ends', async () => {
    const backend = await startBackend(type, false)
    const { exporter, world } = through(type, backend.port, false)
    const connections = () => new Set(backend.seen.map(({ connection }) => connection)).size
    const ages: number[] = []
    for (let round = 1; round <= 4; round++) {
      const begunMs = world.monotonic()
      while (connections() < round) expect((await ask(exporter)).kind).toBe('delivered')
      await until(() => backend.sockets.size === 1)
      while (connections() === round) {
        expect((await ask(exporter)).kind).toBe('delivered')
        await world.advance(1000)
      }
      ages.push((world.monotonic() - begunMs) / CONNECTION_AGE_MS)
    }
    for (const age of ages) expect(Math.abs(age - 1)).toBeLessThan(0.11)
    expect(new Set(ages).size).toBeGreaterThan(1)
  })

  test('D6 a request under way when its connection has grown old is answered on it', async () => {
    const backend = await startBackend(type, false)
    const { exporter, world } = through(type, backend.port, false)
    const release = backend.hold()
    const old = ask(exporter)
    await until(() => backend.seen.length === 1)
    await world.advance(2 * CONNECTION_AGE_MS)
    const young = ask(exporter)
    await until(() => backend.seen.length === 2)
    expect(backend.sockets.size).toBe(2)
    release()
    expect(kinds(await Promise.all([old, young]))).toEqual(['delivered'])
    await until(() => backend.sockets.size === 1)
    await exporter.close()
    await until(() => backend.sockets.size === 0)
  })

  test('under traffic a new certificate is shown on new connections, and no request fails', async () => {
    const backend = await startBackend(type, true)
    const { exporter, world, install, lines } = through(type, backend.port, true)
    const answers: Answer[] = []
    let going = true
    const loop = async () => {
      while (going) {
        const answer = await ask(exporter)
        answers.push(answer)
        if (answer.kind !== 'delivered') return
      }
    }
    const loops = [loop(), loop(), loop()]
    const names = ['one', 'two', 'three', 'four']
    for (const name of names) {
      install(name)
      await world.advance(LOOK_MS)
      await until(() => backend.seen.at(-1)?.client === name)
      await until(() => new Set(backend.seen.slice(-9).map(({ client }) => client)).size === 1)
    }
    going = false
    await Promise.all(loops)
    expect(kinds(answers)).toEqual(['delivered'])
    expect(backend.seen.length).toBe(answers.length)
    expect([...new Set(backend.seen.map(({ client }) => client))]).toEqual(names)
    expect(lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('a new certificate that is broken leaves the old in force, and is told once', async () => {
    const backend = await startBackend(type, true)
    const { exporter, world, write, install, lines } = through(type, backend.port, true)
    expect((await ask(exporter)).kind).toBe('delivered')
    write('client.pem', 'junk')
    await world.advance(6 * LOOK_MS)
    expect((await ask(exporter)).kind).toBe('delivered')
    expect(lines).toEqual([
      {
        level: 'error',
        message: 'files have changed and cannot be used: what they held before stays in use',
        fields: {
          files: ['ca.pem', 'client.pem', 'client.key'],
          cause: 'tls.cert_file: client.pem holds no certificate in PEM that can be read',
        },
      },
    ])
    install('two')
    await world.advance(LOOK_MS)
    expect((await ask(exporter)).kind).toBe('delivered')
    expect(backend.seen.at(-1)?.client).toBe('two')
    await exporter.close()
    expect(world.timers()).toBe(0)
  })
})
