//! H14: pages of a browser may send where the configuration says so, and nowhere else.
import { expect, test } from 'vitest'
import { httpCall, JSON_TYPE } from '../../kit/client.ts'
import { type StartOptions, startReceiver } from '../../kit/receivers.ts'
import { recordingSink } from '../../kit/sinks.ts'

const serve = async (options?: StartOptions) => (await startReceiver('http', recordingSink(), options)).port

const preflight = (port: number, origin: string, asked?: string) =>
  httpCall({
    port,
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      ...(asked === undefined ? {} : { 'access-control-request-headers': asked }),
    },
  })

test('H14 without cors a preflight is an ordinary refusal, and no answer names an origin', async () => {
  const port = await serve()
  expect((await preflight(port, 'https://shop.example')).status).toBe(405)
  const reply = await httpCall({
    port,
    headers: { ...JSON_TYPE, origin: 'https://shop.example' },
    body: '{}',
  })
  expect([reply.status, reply.headers['access-control-allow-origin']]).toEqual([200, undefined])
})

test('H14 an allowed origin is named in the preflight and in every answer, with headers and age', async () => {
  const cors = { allowedOrigins: ['https://shop.example'], allowedHeaders: ['X-Tenant'], maxAgeSeconds: 600 }
  const port = await serve({ cors })
  const asked = await preflight(port, 'https://shop.example', 'Content-Type, X-Tenant')
  expect(asked.status).toBe(204)
  expect(asked.headers).toMatchObject({
    'access-control-allow-origin': 'https://shop.example',
    'access-control-allow-methods': 'POST',
    'access-control-allow-headers': 'content-type, x-tenant',
    'access-control-max-age': '600',
    vary: 'Origin',
  })
  for (const body of ['{}', 'broken']) {
    const reply = await httpCall({ port, headers: { ...JSON_TYPE, origin: 'https://shop.example' }, body })
    expect(reply.headers['access-control-allow-origin']).toBe('https://shop.example')
  }
})

test('H14 an origin or a header that is not allowed gets no permission', async () => {
  const port = await serve({ cors: { allowedOrigins: ['https://shop.example'] } })
  for (const [origin, asked] of [
    ['https://evil.example'],
    ['http://shop.example'],
    ['https://shop.example.evil.example'],
    ['https://shop.example', 'X-Tenant'],
  ] as const) {
    const reply = await preflight(port, origin, asked)
    expect([reply.status, reply.headers['access-control-allow-origin'], reply.headers.vary]).toEqual([
      204,
      undefined,
      'Origin',
    ])
  }
})

test('H14 a star stands for any run of characters', async () => {
  const allowedOrigins = ['https://*.shop.example', 'http://localhost:*']
  const port = await serve({ cors: { allowedOrigins, allowedHeaders: ['*'] } })
  const allowed = async (origin: string) =>
    (await preflight(port, origin, 'x-any')).headers['access-control-allow-origin'] === origin
  expect(await allowed('https://eu.shop.example')).toBe(true)
  expect(await allowed('https://a.b.shop.example')).toBe(true)
  expect(await allowed('HTTP://LOCALHOST:3000')).toBe(true)
  expect(await allowed('https://shop.example')).toBe(false)
  expect(await allowed('https://eu.shop.example.evil.example')).toBe(false)
})

test('H14 no origin is slow to compare, however many stars there are', async () => {
  const port = await serve({ cors: { allowedOrigins: [`https://${'*a'.repeat(50)}.example`] } })
  const reply = await preflight(port, `https://${'a'.repeat(5000)}`)
  expect(reply.headers['access-control-allow-origin']).toBeUndefined()
})
