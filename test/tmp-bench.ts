//! Temporary.
import { spawn } from 'node:child_process'
import { Registry } from '../src/base/counters.ts'
import { parseTarget } from '../src/base/endpoints.ts'
import { silentLog } from '../src/base/log.ts'
import { realWorld } from '../src/base/world.ts'
import { makeExporter } from '../src/edge/exporter.ts'
import { QUEUE_LIMITS, queue } from '../src/flow/queue.ts'
import { RETRY_DEFAULTS } from '../src/flow/retry.ts'

const child = spawn(process.execPath, [new URL('./tmp-sink.ts', import.meta.url).pathname], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const port: string = await new Promise(r => child.stdout.once('data', d => r(String(d).trim())))
const bytes = Buffer.alloc(230_000, 1)
const endpoint = parseTarget(`http://127.0.0.1:${port}`) as any
const mk = () =>
  makeExporter(
    {
      type: 'otlp',
      id: 'otlp/b',
      endpoint,
      plain: true,
      headers: {},
      compression: 'none',
      timeoutMs: 5000,
      tls: {
        caFile: null,
        certFile: null,
        keyFile: null,
        insecureSkipVerify: false,
        serverNameOverride: null,
      },
    },
    { instanceId: 'i', version: '1', world: realWorld, log: silentLog },
  )
async function direct(n: number, conc: number) {
  const ex = mk()
  let i = 0
  const one = async () => {
    while (i++ < n) await ex.export({ signal: 'traces', parts: [bytes], headers: {}, items: 512 })
  }
  const c = process.cpuUsage(),
    t = performance.now()
  await Promise.all(Array.from({ length: conc }, one))
  const u = process.cpuUsage(c)
  await ex.close()
  return { cpuUsPerReq: ((u.user + u.system) / n).toFixed(0), wall: (performance.now() - t).toFixed(0) }
}
async function queued(n: number, perTick: number, gapMs: number, over: any) {
  const ex = mk()
  let reqs = 0
  const counted = {
    ...ex,
    export: (r: any) => {
      reqs++
      return ex.export(r)
    },
  }
  const reg = new Registry()
  const q = queue(counted, realWorld, silentLog, reg, {
    ...QUEUE_LIMITS,
    sizeBytes: 64 * 2 ** 20,
    whenFull: 'refuse',
    numConsumers: 10,
    retry: RETRY_DEFAULTS,
    ...over,
  })
  const c = process.cpuUsage(),
    t = performance.now()
  for (let i = 0; i < n; ) {
    for (let k = 0; k < perTick && i < n; k++) {
      if (q.offer({ signal: 'traces', bytes, headers: {}, items: 512, receivedMs: 0 }) === 'taken') i++
      else break
    }
    await new Promise(r => (gapMs === 0 ? setImmediate(r) : setTimeout(r, gapMs)))
  }
  await q.close(realWorld.monotonic() + 10000)
  const u = process.cpuUsage(c)
  return { cpuUsPerReq: ((u.user + u.system) / n).toFixed(0), reqs, wall: (performance.now() - t).toFixed(0) }
}
for (let round = 0; round < 2; round++) {
  console.log('direct c=10', await direct(1500, 10))
  for (const max of [0.5, 1, 2, 3.5])
    console.log('queued 1/2ms', max, await queued(1500, 1, 1, { maxBatchBytes: max * 2 ** 20 }))
  for (const linger of [1, 5, 10, 20])
    console.log('linger', linger, await queued(1500, 1, 1, { lingerMs: linger }))
}
child.kill()
process.exit()
