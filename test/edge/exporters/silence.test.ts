//! A connection that swallows everything is given up, and the next one is used: a destination that was in a black hole needs no restart.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { parseTarget } from '../../../src/base/endpoints.ts'
import { silentLog } from '../../../src/base/log.ts'
import { realWorld } from '../../../src/base/world.ts'
import { makeExporter } from '../../../src/edge/exporter.ts'
import type { Exporter } from '../../../src/flow/sink.ts'
import { startBackend } from '../../kit/backend.ts'
import { ask, INSTANCE } from './scene.ts'

/** Its clock runs so many times faster, and its timers with it; the time-outs of grpc-js are real. */
const HASTE = 40
const TIMEOUT_MS = 300

test('otlp: one that was made into a black hole is left after 20 s without a word, and the next one serves', async () => {
  const backend = await startBackend()
  let isHole = true
  let swallowed = 0
  const sockets: Socket[] = []
  const server = createServer(near => {
    near.on('error', () => {})
    sockets.push(near)
    if (isHole) {
      swallowed++
      near.resume()
      return
    }
    const far = connect(backend.grpcPort, '127.0.0.1')
    far.on('error', () => {})
    sockets.push(far)
    near.pipe(far).pipe(near)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const endpoint = parseTarget(`http://127.0.0.1:${port}`)
  if ('wrong' in endpoint) throw new Error(endpoint.wrong)
  const exporter: Exporter = makeExporter(
    {
      type: 'otlp',
      id: 'otlp/test',
      endpoint,
      plain: true,
      headers: {},
      compression: 'none',
      timeoutMs: TIMEOUT_MS,
      tls: {
        caFile: null,
        certFile: null,
        keyFile: null,
        insecureSkipVerify: false,
        serverNameOverride: null,
      },
    },
    {
      instanceId: INSTANCE,
      version: '1.2.3',
      world: { ...realWorld, monotonic: () => realWorld.monotonic() * HASTE },
      log: silentLog,
    },
  )
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await exporter.close()
    await backend.stop()
  })
  expect((await ask(exporter)).kind).toBe('busy')
  expect(swallowed).toBe(1)
  isHole = false
  const answers: string[] = []
  while (answers.length < 10 && answers.at(-1) !== 'delivered') answers.push((await ask(exporter)).kind)
  expect(answers.at(-1)).toBe('delivered')
  expect(backend.requests).toHaveLength(1)
})
