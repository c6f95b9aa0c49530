//! The receivers: opened, told other settings, and moved to other addresses while telemetry flows.
import { isDeepStrictEqual } from 'node:util'
import { formatListen, type Listen } from '../base/endpoints.ts'
import type { Failure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import type { Config } from '../config.ts'
import type { Admission } from '../edge/admission.ts'
import type { Cors } from '../edge/cors.ts'
import { startGrpcReceiver } from '../edge/grpc-in.ts'
import { startHttpReceiver } from '../edge/http-in.ts'
import type { LiveOptions, Receiver } from '../edge/receiver.ts'
import { type Batch, SIGNALS, type Signal, type Sink } from '../flow/sink.ts'
import type { Plan } from './plan.ts'

export interface ReceiversOptions {
  readonly instanceId: string
  readonly admission: Admission
  onRefused(signal: Signal | null, cause: Failure): void
  /** Where what comes in by each protocol goes. */
  sink(protocol: Protocol): Sink<Batch>
}

export interface Receivers {
  /** Where it listens now, by the setting's path. */
  readonly listening: Readonly<Record<string, Listen>>
  /** Opens what `config` adds; rejects with the error of the bind, and with everything closed again, where that fails. */
  plan(config: Config): Promise<Plan>
  /** Resolves when the sinks get nothing more. */
  stop(deadlineMs: number): Promise<void>
}

type Protocol = 'grpc' | 'http'
const PROTOCOLS: readonly Protocol[] = ['grpc', 'http']
const pathOf = (protocol: Protocol) => `receivers.otlp.protocols.${protocol}.endpoint`
/** An address that was left: its requests are given this long to end. */
const LEAVING_MS = 5000

interface Open {
  readonly endpoint: Listen
  /** What it was opened with, and keeps. */
  readonly kept: Readonly<Record<string, unknown>>
  readonly receiver: Receiver & { change(options: LiveOptions & { cors?: Cors }): void }
}

export function makeReceivers(world: World, log: Log, options: ReceiversOptions): Receivers {
  let open: Partial<Record<Protocol, Open>> = {}
  const leaving = new Set<Promise<void>>()

  async function openOne(config: Config, protocol: Protocol, endpoint: Listen): Promise<Open> {
    const { tls, auth } = config.receivers.otlp.protocols[protocol] as Secured
    const { instanceId, admission, onRefused } = options
    const start = protocol === 'grpc' ? startGrpcReceiver : startHttpReceiver
    const all = {
      instanceId,
      admission,
      onRefused,
      ...endpoint,
      ...liveOptions(config, protocol),
      settingsPath: `receivers.otlp.protocols.${protocol}.`,
      tls,
      auth,
    }
    return {
      endpoint,
      kept: keptOf(config, protocol),
      receiver: await start(all, options.sink(protocol), world, log),
    }
  }

  async function plan(config: Config): Promise<Plan> {
    const next: Partial<Record<Protocol, Open>> = {}
    const opened: Open[] = []
    const restart: string[] = []
    const cancel = async () => {
      await Promise.all(opened.map(({ receiver }) => receiver.stop(0)))
    }
    for (const protocol of PROTOCOLS) {
      const endpoint = config.receivers.otlp.protocols[protocol]?.endpoint ?? null
      if (endpoint === null) continue
      const kept = open[protocol]
      if (kept !== undefined && isSameListener(kept.endpoint, endpoint)) {
        next[protocol] = kept
        restart.push(
          ...notTaken(kept.kept, keptOf(config, protocol)).map(
            key => `receivers.otlp.protocols.${protocol}.${key}`,
          ),
        )
        continue
      }
      try {
        const one = await openOne(config, protocol, endpoint)
        opened.push(one)
        next[protocol] = one
      } catch (error) {
        await cancel()
        throw error
      }
    }
    return {
      commit() {
        for (const protocol of PROTOCOLS) {
          const before = open[protocol]
          const after = next[protocol]
          if (after !== undefined) after.receiver.change(liveOptions(config, protocol))
          if (before !== undefined && before !== after) leave(before, pathOf(protocol))
        }
        open = next
      },
      restart,
      cancel,
    }
  }

  function leave({ endpoint, receiver }: Open, path: string) {
    log.info(
      { setting: path, endpoint: formatListen(endpoint) },
      'this address is left; its senders are asked to go',
    )
    const left = receiver.stop(LEAVING_MS).finally(() => leaving.delete(left))
    leaving.add(left)
  }

  return {
    get listening() {
      const all = PROTOCOLS.flatMap(protocol => {
        const one = open[protocol]
        return one === undefined ? [] : [[pathOf(protocol), { ...one.endpoint, port: one.receiver.port }]]
      })
      return Object.fromEntries(all)
    },
    plan,
    async stop(deadlineMs) {
      const all = Object.values(open).map(({ receiver }) => receiver.stop(deadlineMs))
      await Promise.all([...all, ...leaving])
    },
  }
}

const keptOf = (config: Config, protocol: Protocol): Open['kept'] => {
  const { endpoint, tls, auth } = config.receivers.otlp.protocols[protocol] as Record<string, unknown>
  return { endpoint, tls, auth }
}

const notTaken = (before: Open['kept'], after: Open['kept']) =>
  Object.keys(before).filter(key => !isDeepStrictEqual(before[key], after[key]))

/** Whether `after` is served by what listens at `before`: the same address, or one that it keeps from being taken. */
function isSameListener(before: Listen, after: Listen): boolean {
  if (isDeepStrictEqual(before, after)) return true
  // No other can listen there before the old one has left, and then there would be a gap.
  return before.port === after.port && before.port !== 0
}

function liveOptions(config: Config, protocol: Protocol): LiveOptions & { cors?: Cors } {
  const { forwardHeaders, protocols } = config.receivers.otlp
  const settings = protocols[protocol] as { maxRecvMsgSizeBytes: number; cors?: CorsSettings }
  return {
    forwardHeaders,
    maxRecvBytes: settings.maxRecvMsgSizeBytes,
    signals: SIGNALS.filter(signal => config.service.pipelines[signal] !== null),
    ...(settings.cors === undefined ? {} : corsOf(settings.cors)),
  }
}

type Secured = Pick<NonNullable<Config['receivers']['otlp']['protocols'][Protocol]>, 'tls' | 'auth'>

interface CorsSettings {
  readonly allowedOrigins: readonly string[]
  readonly allowedHeaders: readonly string[]
  readonly maxAgeMs: number
}

const corsOf = ({ allowedOrigins, allowedHeaders, maxAgeMs }: CorsSettings): { cors?: Cors } =>
  allowedOrigins.length === 0
    ? {}
    : { cors: { allowedOrigins, allowedHeaders, maxAgeSeconds: Math.round(maxAgeMs / 1000) } }
