//! A destination of OTLP/HTTP for tests of the whole process: it remembers bodies, and answers as late as it is told to.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Backend {
  readonly url: string
  /** The bodies of what has been answered. */
  readonly bodies: Buffer[]
  /** Requests that have come in. */
  requests(): number
  close(): Promise<void>
}

export async function backend(answerAfterMs: number): Promise<Backend> {
  const bodies: Buffer[] = []
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () =>
      setTimeout(() => {
        bodies.push(Buffer.concat(chunks))
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
      }, answerAfterMs).unref(),
    )
    request.on('error', () => {})
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    requests: () => requests,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Sends `count` spans as one OTLP/JSON request, and returns their ids. */
export async function sendSpans(port: number, count: number, first = 1): Promise<Buffer[]> {
  const ids = Array.from({ length: count }, (_, at) => (first + at).toString(16).padStart(16, 'a'))
  const nowNs = BigInt(Date.now()) * 1_000_000n
  const spans = ids.map(spanId => ({
    traceId: `${spanId}${spanId}`,
    spanId,
    name: 'GET /cart',
    kind: 2,
    startTimeUnixNano: String(nowNs - 10_000_000n),
    endTimeUnixNano: String(nowNs),
  }))
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'cart' } }] }
  const response = await fetch(`http://127.0.0.1:${port}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] }),
  })
  if (response.status !== 200)
    throw new Error(`spans were refused: ${response.status} ${await response.text()}`)
  return ids.map(id => Buffer.from(id, 'hex'))
}

/** How many of these span ids stand in the bodies. Trace ids hold them twice more, so each is looked for as field 2. */
export const delivered = (ids: readonly Buffer[], bodies: readonly Buffer[]) =>
  ids.filter(id => bodies.some(body => body.includes(Buffer.concat([Buffer.from([0x12, 8]), id])))).length
