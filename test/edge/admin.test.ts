//! The metrics and health listeners: what they answer, and that nothing a client sends ends the process.
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { Registry } from '../../src/base/counters.ts'
import { type Log, silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import { type Admin, type Health, registerProcessMetrics, startAdmin } from '../../src/edge/admin.ts'

const at = (port: number) => ({ host: '127.0.0.1', port })
const LOOPBACK = at(0)
const READY: Health = { state: 'ready', reasons: [] }
const running: Admin[] = []
afterEach(async () => {
  for (const admin of running.splice(0)) await admin.stop()
})

async function start(health: () => Health = () => READY, registry = new Registry(), log: Log = silentLog) {
  const identity = { version: '1.2.3', instanceId: 'abc' }
  const admin = await startAdmin({ metrics: LOOPBACK, health: LOOPBACK, identity }, registry, health, log)
  running.push(admin)
  return {
    admin,
    ports: admin.ports,
    metrics: (path: string, init?: RequestInit) =>
      fetch(`http://127.0.0.1:${admin.ports.metrics}${path}`, init),
    health: (path: string, init?: RequestInit) =>
      fetch(`http://127.0.0.1:${admin.ports.health}${path}`, init),
  }
}

/** Sends bytes as they are, and gives back all that comes until the connection ends or, after the first of it, a quarter of a second passes in silence. */
function raw(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let answer = ''
    const finish = () => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(10_000, finish)
    socket.on('data', chunk => {
      answer += chunk.toString('latin1')
      socket.setTimeout(250)
    })
    socket.on('error', finish).on('close', finish)
  })
}

test('of many questions that one connection asks at once, one is answered, so that who reads nothing fills no memory', async () => {
  const registry = new Registry()
  let rendered = 0
  registry.beforeRead(() => void rendered++)
  const { ports } = await start(undefined, registry)
  const answers = await raw(ports.metrics, 'GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(200))
  expect(answers.match(/HTTP\/1\.1 200 /g)).toHaveLength(1)
  expect(answers.toLowerCase()).toContain('connection: close')
  expect(rendered).toBe(1)
})

test('/metrics answers in the format that the scraper asks for', async () => {
  const registry = new Registry()
  registry.counter('otlier.outliers', '{span}', 'Spans marked.').value = 2
  const { metrics } = await start(undefined, registry)
  const plain = await metrics('/metrics')
  expect(plain.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await plain.text()).toContain('otlier_outliers_total{service_instance_id="abc"} 2\n')
  const open = await metrics('/metrics?name[]=x', {
    headers: { accept: 'application/openmetrics-text;version=1.0.0' },
  })
  expect(open.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  expect(await open.text()).toMatch(/# EOF\n$/)
})

test('health is 503 while starting and stopping, and 200 when ready or degraded, with the word and the reasons', async () => {
  let now: Health = { state: 'starting', reasons: [] }
  const { health } = await start(() => now)
  const seen: unknown[] = []
  for (const state of ['starting', 'ready', 'degraded', 'stopping'] as const) {
    now = { state, reasons: state === 'degraded' ? ['jaeger is not reachable'] : [] }
    for (const path of ['/', '/ready']) {
      const response = await health(path)
      seen.push([path, response.status, await response.json()])
    }
    expect((await health('/live')).status).toBe(200)
  }
  const both = (status: number, body: object) => ['/', '/ready'].map(path => [path, status, body])
  expect(seen).toEqual([
    ...both(503, { status: 'starting', reasons: [] }),
    ...both(200, { status: 'ready', reasons: [] }),
    ...both(200, { status: 'degraded', reasons: ['jaeger is not reachable'] }),
    ...both(503, { status: 'stopping', reasons: [] }),
  ])
})

test('HEAD gets the head alone, other methods 405 with the ones that are allowed, other paths 404', async () => {
  const { ports, metrics, health } = await start()
  const head = await raw(ports.health, 'HEAD /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(head).toMatch(/content-length: [1-9]/)
  expect(head).toMatch(/\r\n\r\n$/)
  for (const ask of [metrics, health]) {
    const post = await ask('/metrics', { method: 'POST', body: 'x'.repeat(100_000) })
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect((await ask('/nothing')).status).toBe(404)
  }
  expect((await health('/metrics')).status).toBe(404)
  expect((await metrics('/ready')).status).toBe(404)
})

test('CVE-2026-44902 a malformed URL, method, header or upgrade is answered or cut, and the listener goes on', async () => {
  const { ports, metrics, health } = await start()
  const requests = [
    'GET http://[::bad/x HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET //[ HTTP/1.1\r\nHost: [\r\n\r\n',
    'GET /%ff%zz?%%% HTTP/1.1\r\nHost: \r\n\r\n',
    'GET * HTTP/1.1\r\nHost: x\r\n\r\n',
    'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /metrics HTTP/1.1\r\n\r\n',
    'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET /metrics HTTP/9.9\r\n\r\n',
    `GET /metrics HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`,
    'GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: everything\r\n\r\n',
    'GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
    '\u0000\u0001\u0002\r\n\r\n',
  ]
  for (const port of [ports.metrics, ports.health]) {
    const answers = await Promise.all(requests.map(request => raw(port, request)))
    // No answer is a success that was not asked for in good HTTP, and none is a fault of Otlier's own.
    for (const [i, answer] of answers.entries())
      expect([requests[i], answer]).not.toEqual([requests[i], expect.stringMatching(/^HTTP\/1\.1 5/)])
    expect(answers[0]).toMatch(/^HTTP\/1\.1 404 /)
    expect(answers[2]).toMatch(/^HTTP\/1\.1 404 /)
    expect(answers[8]).toMatch(/^HTTP\/1\.1 400 /)
    expect(answers[14]).toMatch(/^HTTP\/1\.1 400 /)
  }
  expect((await metrics('/metrics')).status).toBe(200)
  expect((await health('/')).status).toBe(200)
})

test('an absolute URL is understood', async () => {
  const { ports } = await start()
  const answer = await raw(
    ports.health,
    'GET http://localhost/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  )
  expect(answer).toMatch(/^HTTP\/1\.1 200 /)
})

test('clients that hang up in the middle do no harm', async () => {
  const { ports, metrics } = await start()
  for (const bytes of ['', 'GET', 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n', '\u0016\u0003\u0001'])
    await new Promise<void>(resolve => {
      const socket = connect(ports.metrics, '127.0.0.1', () => {
        socket.write(bytes)
        socket.resetAndDestroy()
      })
      socket.on('error', () => {}).on('close', () => resolve())
    })
  expect((await metrics('/metrics')).status).toBe(200)
})

test('a fault in what is read answers 500, is logged, and the next request is served', async () => {
  const registry = new Registry()
  let broken = true
  registry.observe('g', '', 'x', () => {
    if (broken) throw new Error('no such thing')
    return []
  })
  const logged: string[] = []
  const log = { ...silentLog, error: (_: object, message: string) => void logged.push(message) }
  const { metrics } = await start(undefined, registry, log)
  expect((await metrics('/metrics')).status).toBe(500)
  expect(logged).toEqual(['answering a request to Otlier itself failed'])
  broken = false
  expect((await metrics('/metrics')).status).toBe(200)
})

test('a taken port is told with its number, and the other listener is not left open', async () => {
  const { ports } = await start()
  const taken = at(ports.health)
  const second = startAdmin({ metrics: LOOPBACK, health: taken }, new Registry(), () => READY, silentLog)
  await expect(second).rejects.toMatchObject({ code: 'EADDRINUSE', port: ports.health })
})

test('an address that is null is not served, and the other one is', async () => {
  const admin = await startAdmin({ metrics: null, health: LOOPBACK }, new Registry(), () => READY, silentLog)
  running.push(admin)
  expect(admin.ports.metrics).toBe(0)
  expect((await fetch(`http://127.0.0.1:${admin.ports.health}/ready`)).status).toBe(200)
})

test('stop ends open connections and frees both ports', async () => {
  const { admin, ports } = await start()
  const idle = connect(ports.metrics, '127.0.0.1')
  await new Promise(resolve => idle.once('connect', resolve))
  const ended = new Promise(resolve => idle.on('error', () => {}).once('close', resolve))
  idle.resume()
  await admin.stop()
  await ended
  for (const port of Object.values(ports)) expect(await raw(port, 'GET / HTTP/1.0\r\n\r\n')).toBe('')
  const again = await startAdmin(
    { metrics: at(ports.metrics), health: LOOPBACK },
    new Registry(),
    () => READY,
    silentLog,
  )
  await again.stop()
})

test('the process tells its uptime, CPU time and memory', async () => {
  const registry = new Registry()
  let elapsedMs = 5_000
  registerProcessMetrics(registry, { ...realWorld, monotonic: () => elapsedMs })
  elapsedMs = 12_500
  const { metrics } = await start(undefined, registry)
  const text = await (await metrics('/metrics')).text()
  const value = (name: string) => Number(text.match(new RegExp(`^${name}\\{[^}]*\\} (.*)$`, 'm'))?.[1])
  expect(value('otlier_process_uptime_total')).toBe(7.5)
  expect(value('otlier_process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(value('otlier_process_memory_rss')).toBeGreaterThan(10 * 2 ** 20)
})
