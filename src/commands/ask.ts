//! Asks the running service one thing by HTTP, and says in a sentence why there was no answer.
import { request } from 'node:http'
import { formatListen, type Listen } from '../base/endpoints.ts'
import { clip } from '../base/words.ts'

const TIMEOUT_MS = 3000
/** An answer is hardly ever longer than a few hundred kilobytes. */
const MAX_BODY = 16 * 2 ** 20

/**
 * Status and body, at most `mostBytes` characters of it, or a sentence where there is no answer.
 * @param intent what is to be done, where it is more than an answer: goes as POST
 */
export function ask(
  { host, port }: Listen,
  path: string,
  mostBytes: number,
  intent: string | null = null,
): Promise<{ status: number; body: string } | string> {
  // What listens on all interfaces is asked on this machine.
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return new Promise(resolve => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const how =
      intent === null ? {} : { method: 'POST', headers: { 'x-otlier': intent, 'content-length': 0 } }
    const asked = request({ host: target, port, path, agent: false, signal, ...how }, response => {
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

/**
 * The JSON object that the running service answers with a status of 200 or 202; else the sentence that it gives, or one on why there
 * is none. `hint` follows where nobody answers.
 */
export async function askJson(
  endpoint: Listen,
  path: string,
  hint: string,
  intent: string | null = null,
): Promise<{ readonly body: object } | { readonly wrong: string }> {
  const answer = await ask(endpoint, path, MAX_BODY, intent)
  const where = `http://${formatListen(endpoint)}${path}`
  if (typeof answer === 'string') return { wrong: `${where}: ${answer}\n${hint}` }
  let body: unknown
  try {
    body = JSON.parse(answer.body)
  } catch {
    return { wrong: `${where}: what answered there is no Otlier` }
  }
  if (typeof body !== 'object' || body === null)
    return { wrong: `${where}: what answered there is no Otlier` }
  if (answer.status === 200 || answer.status === 202) return { body }
  return {
    wrong:
      'error' in body && typeof body.error === 'string'
        ? clip(body.error, 1000)
        : `${where}: status ${answer.status}`,
  }
}
