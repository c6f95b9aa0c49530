//! A destination that answers before it has read all: `delivered` is said when its request is read for the last time.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { exporterTo, requestOf } from './scene.ts'

/** More than the buffers of two sockets hold. */
const LARGE_BYTES = 32 * 2 ** 20

test('a destination that answers before it has read all has been read to when it counts as delivered', async () => {
  let read = 0
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {})
    socket.once('data', chunk => {
      read += chunk.length
      socket.pause()
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      // Long after the answer.
      setTimeout(() => socket.on('data', more => (read += more.length)).resume(), 200)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const { exporter } = exporterTo('otlphttp', `http://127.0.0.1:${port}`)
  onTestFinished(async () => {
    await exporter.close()
    server.close()
  })
  const { request } = requestOf(['a1'])
  const answer = await exporter.export({ ...request, parts: [new Uint8Array(LARGE_BYTES)] })
  expect(answer.kind).toBe('delivered')
  // All but what the system's buffers hold, which is no longer our memory.
  expect(read).toBeGreaterThan(LARGE_BYTES / 2)
})
