//! A small HTTP server for what is posted to the demo, on a port of this machine or on a socket in the file system; and who posts there.
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  readonly status: number
  readonly text: string
}

export interface Posts {
  /** 0 on a socket in the file system. */
  readonly port: number
  stop(): Promise<void>
}

const MAX_BODY_BYTES = 4 * 2 ** 20
const MAX_CONNECTIONS = 16
const TIMEOUT_MS = 5000

/** Listens on 127.0.0.1 at any free port, or at `path`. Rejects with the system's error. What `answer` throws is answered 400. */
export async function takePosts(path: string | null, answer: (body: string) => Answer): Promise<Posts> {
  const server = createServer(
    { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS },
    (asked, response) => {
      const parts: Buffer[] = []
      let bytes = 0
      const reply = ({ status, text }: Answer) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(text)
      asked.on('error', () => {})
      response.on('error', () => {})
      asked.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes <= MAX_BODY_BYTES) parts.push(part)
        else {
          response.writeHead(413, { connection: 'close' }).end()
          asked.destroy()
        }
      })
      asked.on('end', () => {
        if (asked.method !== 'POST') reply({ status: 405, text: 'Only POST is served here.' })
        else reply(safely(answer, Buffer.concat(parts).toString()))
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  await listen(server, path)
  const address = server.address()
  return {
    port: typeof address === 'string' ? 0 : (address as AddressInfo).port,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function safely(answer: (body: string) => Answer, body: string): Answer {
  try {
    return answer(body)
  } catch (error) {
    return { status: 400, text: (error as Error).message }
  }
}

const listen = (server: Server, path: string | null) =>
  new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const done = () => {
      server.removeListener('error', reject)
      server.on('error', () => {})
      resolve()
    }
    if (path === null) server.listen(0, '127.0.0.1', done)
    else server.listen(path, done)
  })

/** Posts to the socket at `path`. Null where nobody listens there. Rejects where the answer does not come. */
export function post(path: string, body: string): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const asked = request({ socketPath: path, method: 'POST', agent: false, signal }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        if (text.length < MAX_BODY_BYTES) text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      response.on('error', reject)
    })
    asked.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(null)
      else reject(signal.aborted ? new Error(`no answer within ${TIMEOUT_MS} ms`) : error)
    })
    asked.end(body)
  })
}
