//! Google's C-core gRPC as client and as backend, with a running Otlier between.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Python, startPython } from '../kit/python.ts'
import { cCoreBackend } from './backends.ts'
import { type Client, exchange } from './exchange.ts'

let python: Python | string = 'not started'
beforeAll(async () => {
  python = await startPython()
  if (typeof python === 'string') console.log(`SKIP: ${python}`)
})
afterAll(async () => {
  if (typeof python !== 'string') await python.remove()
})

const cCoreClient =
  (peer: Python, compression: 'none' | 'gzip'): Client =>
  (service, phase) =>
    peer.client(service.grpcPort, compression, phase, 'shop-python')

for (const compression of ['none', 'gzip'] as const)
  test(`C-core on both sides, compression ${compression}: every item arrives once, the slow span with its reason and its event`, async context => {
    if (typeof python === 'string') return context.skip(python)
    const backend = cCoreBackend(await python.backend(compression, 'all'), compression)
    try {
      const service = await exchange(cCoreClient(python, compression), backend)
      expect((await service.stop()).status).toBe(0)
    } finally {
      await backend.stop()
    }
  })

test('a C-core backend without metrics and logs: spans and marks arrive, one line a signal says what does not, and SIGTERM exits 0', async context => {
  if (typeof python === 'string') return context.skip(python)
  const backend = cCoreBackend(await python.backend('gzip', 'traces'), 'gzip')
  try {
    const service = await exchange(cCoreClient(python, 'gzip'), backend, 'traces')
    const end = await service.stop()
    expect(end.status).toBe(0)
    for (const signal of ['metrics', 'logs']) {
      const said = end.stderr.split('\n').filter(line => /does not take/.test(line) && line.includes(signal))
      expect(said).toHaveLength(1)
    }
  } finally {
    await backend.stop()
  }
})
