//! Laws of the HTTP API: what it answers, what it refuses and with which words, and who may ask.
import { request } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { silentLog } from '../../src/base/log.ts'
import type { Served } from '../../src/base/serve.ts'
import type { Accounts } from '../../src/bus/accounts.ts'
import type { Selftest } from '../../src/bus/selftest.ts'
import { obey } from '../../src/view/api.ts'
import { startView } from '../../src/view/server.ts'

const INCIDENT = '01J0000000000000000000000A'
const TRACE = 'ab'.repeat(16)
const asked: unknown[] = []
const accounts: Accounts = {
  incidents: () => [],
  incident: id => (id === INCIDENT ? ({ id, title: '</script>"\u2028' } as never) : null),
  trace: id => (id === TRACE ? { traceId: id, marks: [], incidents: [] } : null),
  assess(atMs, service) {
    asked.push([atMs, service])
    return service === 'nobody'
      ? { wrong: 'No span of nobody has been seen.' }
      : ({ atMs, suspects: [] } as never)
  },
}

const begun: (number | null)[] = []
const selftest: Selftest = {
  start(seed) {
    begun.push(seed)
    return seed === 13 ? { wrong: 'A self-test is running already.' } : { seed: seed ?? 5 }
  },
  now: () => ({ state: 'running', seed: 5, done: 1, planned: 9 }),
}

const running: Served[] = []
afterEach(async () => {
  asked.length = begun.length = 0
  for (const served of running.splice(0)) await served.stop()
})

async function start() {
  const served = await startView({ host: '127.0.0.1', port: 0 }, { accounts, selftest }, silentLog)
  running.push(served)
  return (path: string, more: { host?: string; method?: string; intent?: string } = {}) =>
    new Promise<{ status: number; body: Record<string, unknown>; type: string }>((resolve, reject) => {
      const { host = `127.0.0.1:${served.port}`, method = 'GET', intent } = more
      const headers = { host, ...(intent === undefined ? {} : { 'x-otlier': intent }) }
      const options = { host: '127.0.0.1', port: served.port, path, method, headers, agent: false }
      request(options, response => {
        let text = ''
        response.on('data', chunk => (text += chunk))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            type: String(response.headers['content-type']),
            body: text === '' ? {} : JSON.parse(text),
          }),
        )
      })
        .on('error', reject)
        .end()
    })
}

test('incidents, one of them, a trace and suspects are JSON; ids may be written in either case', async () => {
  const ask = await start()
  expect(await ask('/api/incidents')).toEqual({
    status: 200,
    type: 'application/json',
    body: { incidents: [] },
  })
  expect((await ask(`/api/incidents/${INCIDENT.toLowerCase()}`)).body).toMatchObject({ id: INCIDENT })
  expect((await ask(`/api/traces/${TRACE.toUpperCase()}`)).body).toMatchObject({ traceId: TRACE })
  expect((await ask('/api/suspects')).status).toBe(200)
  await ask('/api/suspects?at=2023-01-29T13%3A33%3A54Z&service=a%20b')
  await ask('/api/suspects?at=1675000000123')
  expect(asked).toEqual([
    [null, null],
    [Date.UTC(2023, 0, 29, 13, 33, 54), 'a b'],
    [1675000000123, null],
  ])
})

test.each([
  ['/api/incidents/1', 400, 'no id of an incident'],
  [`/api/incidents/${'A'.repeat(5000)}`, 400, 'no id of an incident'],
  [`/api/incidents/${INCIDENT.replace('A', 'B')}`, 404, 'No incident that is kept'],
  ['/api/traces/xyz', 400, 'no id of a trace'],
  [`/api/traces/${'0'.repeat(32)}`, 400, 'no id of a trace'],
  [`/api/traces/${'c'.repeat(32)}`, 404, 'Nothing that is kept names the trace'],
  ['/api/suspects?at=yesterday', 400, 'is no time'],
  ['/api/suspects?at=2023-13-29T13:33:54Z', 400, 'is no time'],
  ['/api/suspects?at=999999999999999999', 400, 'is no time'],
  ['/api/suspects?at=', 400, 'is no time'],
  ['/api/suspects?at=1&at=2', 400, 'is given twice'],
  ['/api/suspects?when=1', 400, '"when" is not asked for here'],
  ['/api/suspects?service=', 400, 'service is the name of a service'],
  [`/api/suspects?service=${'a'.repeat(257)}`, 400, 'service is the name of a service'],
  [`/api/suspects?service=${'a'.repeat(3000)}`, 400, 'longer than 2048'],
  ['/api/suspects?service=nobody', 404, 'No span of nobody has been seen.'],
  ['/api/suspects?%ff=%zz', 400, 'is not asked for here'],
  ['/api/suspects/1', 404, 'Nothing is served'],
  ['/api/incidents/', 400, 'no id of an incident'],
  ['/api/incidents/a/b', 404, 'Nothing is served'],
  ['/api/constructor', 404, 'Nothing is served'],
  ['/', 404, 'Nothing is served'],
])('%s is answered %i: %s', async (path, status, words) => {
  const ask = await start()
  const answer = await ask(path)
  expect([answer.status, answer.body['error']]).toEqual([status, expect.stringContaining(words)])
})

test('only GET and HEAD are served, and POST where there is something to be done', async () => {
  const ask = await start()
  for (const method of ['DELETE', 'OPTIONS', 'PUT'])
    expect((await ask('/api/selftest', { method })).status).toBe(405)
  expect((await ask('/api/incidents', { method: 'POST', intent: 'selftest' })).status).toBe(404)
  expect(await ask('/api/incidents', { method: 'HEAD' })).toMatchObject({ status: 200, body: {} })
})

test('a page whose own name leads here is told nothing', async () => {
  const ask = await start()
  for (const host of ['evil.example', 'evil.example:4319', 'localhost.evil.example'])
    expect((await ask('/api/incidents', { host })).status).toBe(403)
  for (const host of ['localhost:4319', '[::1]:4319', '10.1.2.3', 'LOCALHOST'])
    expect((await ask('/api/incidents', { host })).status).toBe(200)
})

test('a self-test is begun by POST and asked after by GET; what is wrong with it is said', async () => {
  const ask = await start()
  const post = (path: string) => ask(path, { method: 'POST', intent: 'selftest' })
  expect(await ask('/api/selftest')).toMatchObject({ status: 200, body: { state: 'running', done: 1 } })
  expect(begun).toEqual([])
  expect(await post('/api/selftest?seed=7')).toMatchObject({ status: 202, body: { seed: 7 } })
  expect(await post('/api/selftest')).toMatchObject({ status: 202, body: { seed: 5 } })
  expect(begun).toEqual([7, null])
  expect(await post('/api/selftest?seed=13')).toMatchObject({
    status: 409,
    body: { error: 'A self-test is running already.' },
  })
  for (const query of ['seed=x', 'seed=-1', 'seed=4294967296', 'seed=', 'seeds=1', 'seed=1&seed=2'])
    expect((await post(`/api/selftest?${query}`)).status, query).toBe(400)
  expect(begun).toHaveLength(3)
})

test('a page of another site starts no self-test, and neither does another machine', async () => {
  const ask = await start()
  for (const more of [{}, { intent: 'other' }, { intent: 'selftest', host: 'evil.example' }])
    expect((await ask('/api/selftest', { method: 'POST', ...more })).status).toBe(403)
  const order = { path: '/api/selftest', query: '', accept: undefined, host: undefined, intent: 'selftest' }
  expect(obey({ accounts, selftest }, { ...order, isLocal: false })?.status).toBe(403)
  expect(begun).toEqual([])
  expect(obey({ accounts, selftest }, { ...order, isLocal: true })?.status).toBe(202)
})

test('an address that is taken is an error of the start, with its port', async () => {
  await start()
  const { port } = running[0]
  await expect(
    startView({ host: '127.0.0.1', port }, { accounts, selftest }, silentLog),
  ).rejects.toMatchObject({
    code: 'EADDRINUSE',
    port,
  })
})
