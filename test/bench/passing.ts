//! The whole service against the relay: the same load through both to the same backend, each in a process of its own.
import { setTimeout as sleep } from 'node:timers/promises'
import packageJson from '../../package.json' with { type: 'json' }
import type { Received } from './backend.ts'
import { type Child, child } from './child.ts'
import { type Load, load } from './load.ts'
import type { Request } from './traffic.ts'

const ARRIVE_MS = 20_000

export interface Passed {
  /** CPU microseconds of the process in the middle. */
  readonly cpuUs: number
  readonly spans: number
  /** How many spans came to the backend with a mark. */
  readonly marked: number
  /** How often a request was answered with "come again". */
  readonly busy: number
}

/** The relay stands there twice: as Node runs it, and with what `npm start` gives the service. */
export type Middle = 'relay' | 'equal' | 'service'

export interface Passing {
  /** Sends `count` requests through, until all their spans are with the backend. `slow` is as in `Request.stamp`. */
  through(middle: Middle, count: number, slow: boolean): Promise<Passed>
  close(): Promise<void>
}

/** @param profile a folder for CPU profiles of the two in the middle */
export async function passing(requests: readonly Request[], profile?: string): Promise<Passing> {
  const children: Child[] = []
  const loads: Load[] = []
  const start = (...what: Parameters<typeof child>) => {
    const started = child(...what)
    children.push(started)
    return started
  }
  const close = async () => {
    for (const each of loads) each.close()
    await Promise.all(children.map(each => each.stop()))
  }
  try {
    const backend = start('./backend.ts')
    const address = `127.0.0.1:${await portOf(backend, /port (\d+)/)}`
    const relay = start('./relay.ts', { args: [address], profile })
    const equal = start('./relay.ts', { args: [address], ...NPM_START })
    const service = start('../../src/main.ts', { args: settings(address), ...NPM_START, profile })
    const middles = {
      relay: { process: relay, load: load(await portOf(relay, /port (\d+)/), requests) },
      equal: { process: equal, load: load(await portOf(equal, /port (\d+)/), requests) },
      service: { process: service, load: load(await portOf(service, /gRPC +http:\S+:(\d+)/), requests) },
    }
    loads.push(...Object.values(middles).map(middle => middle.load))
    return {
      close,
      async through(middle, count, slow) {
        const { process, load } = middles[middle]
        const before = { cpuUs: await process.cpuUs(), busy: load.busy(), ...(await received(backend)) }
        const spans = await load.send(count, slow)
        const after = await arrived(backend, before.spans + spans)
        return {
          cpuUs: (await process.cpuUs()) - before.cpuUs,
          spans: after.spans - before.spans,
          marked: after.marked - before.marked,
          busy: load.busy() - before.busy,
        }
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

const received = (backend: Child) => backend.ask<Received>('received')

/** The service answers when it has queued: what it has taken is then still on its way. */
async function arrived(backend: Child, spans: number): Promise<Received> {
  const end = performance.now() + ARRIVE_MS
  for (;;) {
    const now = await received(backend)
    if (now.broken > 0) throw new Error(`${now.broken} requests came to the backend broken`)
    if (now.spans >= spans) return now
    if (performance.now() > end) throw new Error(`${now.spans} of ${spans} spans came to the backend`)
    await sleep(5)
  }
}

async function portOf(process: Child, pattern: RegExp): Promise<number> {
  return Number((await process.said(pattern))[1])
}

/** What `npm start` puts before the program: variables, and options of Node. */
const NPM_START = before(packageJson.scripts.start)

function before(command: string) {
  const [, variables, options] = /^exec env (.*) node (.*) ?src\/main\.ts$/.exec(command) as RegExpExecArray
  return {
    env: Object.fromEntries(variables.split(' ').map(variable => variable.split('=') as [string, string])),
    nodeOptions: options.trim().split(' '),
  }
}

/** Its defaults, on free ports, without compression and without files. */
const settings = (backend: string) =>
  [
    `exporters.otlp.endpoint=http://${backend}`,
    'exporters.otlp.compression=none',
    'directory=none',
    'receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0',
    'receivers.otlp.protocols.http.endpoint=127.0.0.1:0',
    'service.metrics.endpoint=127.0.0.1:0',
    'service.health.endpoint=127.0.0.1:0',
    'service.view.endpoint=127.0.0.1:0',
  ].flatMap(setting => ['--set', setting])
