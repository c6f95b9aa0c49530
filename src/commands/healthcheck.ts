//! `otlier healthcheck`: asks the running service whether it is ready; for containers, whose image has no curl.
import { request } from 'node:http'
import { formatListen, type Listen } from '../base/endpoints.ts'
import { harmless } from '../base/words.ts'
import { configFlags, readArguments } from './arguments.ts'
import { COMMANDS } from './help.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import { reportProblems } from './validate.ts'

const TIMEOUT_MS = 3000
const MAX_BODY = 64 * 1024

export async function healthcheck(args: readonly string[]): Promise<number> {
  const settled = await loadConfig(
    configFlags(readArguments(args, COMMANDS.healthcheck.options)),
    realSurroundings(),
  )
  if (settled.problems.some(problem => problem.severity === 'error')) {
    reportProblems(settled)
    return 2
  }
  const { endpoint } = settled.config.service.health
  if (endpoint === null) {
    console.error('otlier: service.health.endpoint is none: there is nobody to ask')
    return 1
  }
  const answer = await ask(endpoint)
  if (typeof answer === 'string') {
    console.error(`otlier: http://${formatListen(endpoint)}/ready: ${answer}`)
    return 1
  }
  // Whoever answered there.
  console.log(harmless(answer.body.trimEnd()))
  return answer.status === 200 ? 0 : 1
}

/** Status and body, or a sentence where there is no answer. */
function ask({ host, port }: Listen): Promise<{ status: number; body: string } | string> {
  // What listens on all interfaces is asked on this machine.
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return new Promise(resolve => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const asked = request({ host: target, port, path: '/ready', agent: false, signal }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        if (body.length < MAX_BODY) body += chunk
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
