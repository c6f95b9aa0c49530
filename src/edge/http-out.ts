//! The OTLP/HTTP exporter, protobuf and JSON: connections are kept, answers classed by the table of the specification.
import * as http from 'node:http'
import * as https from 'node:https'
import type { SecureContext } from 'node:tls'
import { promisify } from 'node:util'
import { constants, createGunzip, createInflate, gzip } from 'node:zlib'
import { Failure, httpCodes } from '../base/errors.ts'
import type { Answer, Exporter, ExportRequest, Signal } from '../flow/sink.ts'
import { protoToJson } from '../wire/json-out.ts'
import { merge } from '../wire/merge.ts'
import { CONNECTION_AGE_MS } from './age.ts'
import { Renewed } from './renewed.ts'
import { MAX_REPLY_BYTES, readJsonResponse, readResponse, readRetryAfter, readStatusBody } from './reply.ts'
import { lazily, requestHeaders, type SendingSettings, type Surroundings, userAgent } from './sending.ts'
import { clientTls } from './tls.ts'

export interface HttpSettings extends SendingSettings {
  readonly encoding: 'proto' | 'json'
  /** The endpoint is one signal's whole URL: nothing is added to it. */
  readonly exact: boolean
}

const TYPES = { proto: 'application/x-protobuf', json: 'application/json' } as const

export function httpExporter(
  settings: HttpSettings,
  { instanceId, version, world, log, connectionAgeMs = CONNECTION_AGE_MS }: Surroundings,
): Exporter {
  const requests = new Set<http.ClientRequest>()
  const tls = settings.plain ? null : clientTls(settings.tls, { world, log })
  const ready = tls === null ? null : lazily(() => tls.open(), settings, log)
  let context: SecureContext | null = null
  const agents = new Renewed<http.Agent>(
    {
      make: () => (context === null ? new http.Agent({ keepAlive: true }) : secureAgent(settings, context)),
      end: agent => agent.destroy(),
      ageMs: connectionAgeMs,
    },
    world,
  )
  if (tls !== null) {
    tls.onChange = made => {
      context = made
      agents.renew()
    }
  }
  let closed = false

  async function body(request: ExportRequest): Promise<readonly Uint8Array[]> {
    const parts =
      settings.encoding === 'json' ? [protoToJson(request.signal, merge(request.parts))] : request.parts
    return settings.compression === 'gzip' ? [await squeeze(merge(parts), GZIP)] : parts
  }

  async function send(agentNow: http.Agent, request: ExportRequest): Promise<Answer> {
    const parts = await body(request)
    const headers: http.OutgoingHttpHeaders = {
      ...Object.fromEntries(requestHeaders(settings, request.headers, instanceId)),
      'content-type': TYPES[settings.encoding],
      'content-length': parts.reduce((sum, part) => sum + part.length, 0),
      'user-agent': userAgent(version),
      ...(settings.compression === 'gzip' ? { 'content-encoding': 'gzip' } : {}),
    }
    return new Promise(resolve => {
      const url = signalUrl(settings, request.signal)
      const client = url.protocol === 'https:' ? https : http
      const outgoing = client.request(url, { method: 'POST', agent: agentNow, headers })
      requests.add(outgoing)
      const cancel = world.after(settings.timeoutMs, () => outgoing.destroy(new Error('timeout')))
      const settle = (answer: Answer) => {
        cancel()
        requests.delete(outgoing)
        resolve(answer)
      }
      let answered = false
      outgoing.on('response', incoming => {
        // From here on the status decides, whatever becomes of the body.
        answered = true
        void readAnswer(incoming, settings, world.now()).then(answer => {
          // A destination may answer before it has read all. Its memory is used again after `delivered`, so that waits.
          const isRead = outgoing.writableFinished || outgoing.destroyed
          if (answer.kind !== 'delivered' || isRead) return settle(answer)
          for (const event of ['finish', 'close']) outgoing.once(event, () => settle(answer))
        })
      })
      outgoing.on('error', error => answered || settle(noAnswer(error)))
      outgoing.on('close', () => answered || settle(noAnswer(new Error('the connection was closed'))))
      for (const part of parts) outgoing.write(part)
      outgoing.end()
    })
  }

  return {
    id: settings.id,
    async export(request) {
      if (closed) return { kind: 'busy', retryAfterMs: null, cause: new Failure('OTLIER_STOPPING') }
      try {
        if (ready !== null) context ??= await ready()
      } catch (error) {
        return noAnswer(error as Error)
      }
      return agents.use(agent => send(agent, request))
    },
    async close() {
      closed = true
      tls?.stop()
      for (const outgoing of requests) outgoing.destroy(new Error('closing'))
      agents.renew()
    },
  }
}

function secureAgent({ tls }: SendingSettings, secureContext: SecureContext): https.Agent {
  const name = tls.serverNameOverride
  return new https.Agent({
    keepAlive: true,
    secureContext,
    rejectUnauthorized: !tls.insecureSkipVerify,
    ...(name === null ? {} : { servername: name }),
  })
}

const squeeze = promisify<Uint8Array, { level: number }, Buffer>(gzip)
/** Half the CPU of the default, for a few percent more bytes. */
const GZIP = { level: constants.Z_BEST_SPEED }

/** The base endpoint with `v1/<signal>` behind its path, or the signal's own as it is. */
export function signalUrl({ endpoint, exact }: HttpSettings, signal: Signal): URL {
  const url = new URL(endpoint.url)
  if (!exact) url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/${signal}`
  return url
}

const RETRYABLE = new Set([429, 502, 503, 504])

async function readAnswer(
  incoming: http.IncomingMessage,
  settings: HttpSettings,
  nowMs: number,
): Promise<Answer> {
  const { statusCode: status = 0, headers } = incoming
  const type = headers['content-type'] ?? TYPES[settings.encoding]
  const isJson = type.trim().toLowerCase().startsWith(TYPES.json)
  const body = await readBody(incoming)
  if (status >= 200 && status < 300) {
    if (typeof body === 'string') return unreadable(body)
    const response = isJson && body.length > 0 ? readJsonResponse(body) : readResponse(body)
    // Once the destination has it, nothing about its reply is a reason to send it again.
    return response === null ? unreadable('it is no Export response') : { kind: 'delivered', ...response }
  }
  const said = typeof body === 'string' ? '' : readStatusBody(body, isJson)
  const detail = said === '' ? `It answered ${status}.` : `It answered ${status}: ${said}`
  const codes = httpCodes(status)
  if (RETRYABLE.has(status)) {
    const cause = new Failure('OTLIER_DESTINATION_BUSY', detail, undefined, codes)
    return { kind: 'busy', retryAfterMs: readRetryAfter(headers['retry-after'], nowMs), cause }
  }
  if (status === 413) return { kind: 'too_large', cause: new Failure('OTLIER_DESTINATION_TOO_LARGE', detail) }
  if (status === 404)
    return { kind: 'unsupported', cause: new Failure('OTLIER_DESTINATION_UNSUPPORTED', detail) }
  const where = headers.location === undefined ? '' : ' It points elsewhere; redirects are not followed.'
  return {
    kind: 'refused',
    cause: new Failure('OTLIER_DESTINATION_REFUSED', `${detail}${where}`, undefined, codes),
  }
}

const unreadable = (why: string): Answer => ({
  kind: 'delivered',
  rejectedItems: 0,
  message: `the reply cannot be read (${why}); the request counts as delivered`,
})

function noAnswer(error: NodeJS.ErrnoException): Answer {
  const timeout = error.message === 'timeout'
  const cause = timeout
    ? new Failure('OTLIER_NO_ANSWER')
    : new Failure(
        'OTLIER_UNREACHABLE',
        error.code === undefined ? `${error.message}.` : `${error.code}: ${error.message}.`,
        error,
      )
  return { kind: 'busy', retryAfterMs: null, cause }
}

/** The reply's bytes after decompression, or a sentence that says why there are none. */
function readBody(incoming: http.IncomingMessage): Promise<Uint8Array | string> {
  const encoding = incoming.headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  const decoder = encoding === 'gzip' ? createGunzip() : encoding === 'deflate' ? createInflate() : null
  return new Promise(resolve => {
    const chunks: Uint8Array[] = []
    let length = 0
    const fail = (why: string) => {
      // The rest is not read: the connection is of no use any more.
      incoming.destroy()
      decoder?.destroy()
      resolve(why)
    }
    incoming.on('error', () => fail('it ended too early'))
    incoming.on('close', () => incoming.complete || fail('it ended too early'))
    if (decoder === null && encoding !== 'identity') return fail('its compression is unknown')
    const source = decoder === null ? incoming : incoming.pipe(decoder)
    source.on('data', (chunk: Uint8Array) => {
      length += chunk.length
      if (length > MAX_REPLY_BYTES) fail(`it exceeds ${MAX_REPLY_BYTES} bytes`)
      else chunks.push(chunk)
    })
    source.on('end', () => resolve(Buffer.concat(chunks)))
    source.on('close', () => resolve('it ended too early'))
    decoder?.on('error', () => fail('its compression is damaged'))
  })
}
