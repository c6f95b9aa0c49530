//! Asks the running service one thing by HTTP, and says in a sentence why there was no answer.
import { request } from 'node:http'
import type { Listen } from '../base/endpoints.ts'

const TIMEOUT_MS = 3000

/** Status and body, at most `mostBytes` characters of it, or a sentence where there is no answer. */
export function ask(
  { host, port }: Listen,
  path: string,
  mostBytes: number,
): Promise<{ status: number; body: string } | string> {
  // What listens on all interfaces is asked on this machine.
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return new Promise(resolve => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const asked = request({ host: target, port, path, agent: false, signal }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        if (body.length < mostBytes) body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', error => resolve(error.message))
    })
    asked.on('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) resolve(`no answer within ${TIMEOUT_MS} ms`)
      else
        resolve(error.code === 'ECONNREFUSED' ? 'nothing listens there; is Otlier running?' : error.message)
    })
    asked.end()
  })
}
