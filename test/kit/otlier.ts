//! The whole service in this process, on free ports, with the configuration as a user would write it.
import { silentLog } from '../../src/base/log.ts'
import { realWorld } from '../../src/base/world.ts'
import { loadConfig, realSurroundings } from '../../src/commands/load-config.ts'
import type { Parts } from '../../src/commands/run.ts'
import { startOtlier } from '../../src/otlier.ts'

const ENDPOINTS = [
  'receivers.otlp.protocols.grpc.endpoint',
  'receivers.otlp.protocols.http.endpoint',
  'service.metrics.endpoint',
  'service.health.endpoint',
  'service.view.endpoint',
]

/** `settings` as `--set` takes them; the variables of this process do not count. */
export async function startService(settings: readonly string[], parts: Partial<Parts> = {}) {
  const { config, problems } = await settled(settings)
  if (problems.some(problem => problem.severity === 'error'))
    throw new Error(JSON.stringify(problems, null, 2))
  const running = await startOtlier(config, {
    world: realWorld,
    log: silentLog,
    version: '0.0.0',
    directory: null,
    ...parts,
  })
  const port = (path: string) => running.listening[path]?.port ?? 0
  return {
    ...running,
    /** The port of a listener now, by the setting's path. */
    port,
    /** Puts other settings in force while it runs. Whether they were taken over. */
    reconfigure: async (other: readonly string[], files: Readonly<Record<string, string>> = {}) =>
      running.reload(await settled(other, files)),
    grpcPort: port(ENDPOINTS[0]),
    httpPort: port(ENDPOINTS[1]),
    viewPort: port(ENDPOINTS[4]),
    metricsPort: port(ENDPOINTS[2]),
    /** All samples of /metrics by name and labels. */
    async metrics(): Promise<Map<string, number>> {
      const text = await (await fetch(`http://127.0.0.1:${port(ENDPOINTS[2])}/metrics`)).text()
      const rows = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
      // Every sample names the instance, which is another one in every test.
      const nameOf = (line: string) =>
        line
          .slice(0, line.lastIndexOf(' '))
          .replace(/,?service_instance_id="[^"]*",?|\{\}/g, '')
          .replace('{}', '')
      return new Map(rows.map(line => [nameOf(line), Number(line.slice(line.lastIndexOf(' ')))]))
    },
    async health(): Promise<{ status: number; body: string }> {
      const reply = await fetch(`http://127.0.0.1:${port(ENDPOINTS[3])}/ready`)
      return { status: reply.status, body: await reply.text() }
    },
  }
}

/** Settings of one gRPC destination without compression, whose requests leave in order. */
export const toGrpc = (address: string, name = 'otlp') => inOrder(name, `http://${address}`)

/** The same of an OTLP/HTTP destination, by its URL. */
export const toHttp = (url: string) => inOrder('otlphttp', url)

const inOrder = (name: string, endpoint: string) => [
  `exporters.${name}.endpoint=${endpoint}`,
  `exporters.${name}.compression=none`,
  `exporters.${name}.sending_queue.num_consumers=1`,
]

/** Settings as `--set` takes them, over files by their names. */
function settled(settings: readonly string[], files: Readonly<Record<string, string>> = {}) {
  const set = [...ENDPOINTS.map(path => `${path}=127.0.0.1:0`), 'directory=none', ...settings]
  const read = async (path: string) => new TextEncoder().encode(files[path])
  return loadConfig(
    { config: Object.keys(files), set, portOffset: null },
    { ...realSurroundings(), variables: {}, disk: { read } },
  )
}
