//! `otlier healthcheck`: asks the running service whether it is ready; for containers, whose image has no curl.
import { formatListen } from '../base/endpoints.ts'
import { harmless } from '../base/words.ts'
import { configFlags, readArguments } from './arguments.ts'
import { ask } from './ask.ts'
import { COMMANDS } from './help.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import { reportProblems } from './validate.ts'

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
  const answer = await ask(endpoint, '/ready', MAX_BODY)
  if (typeof answer === 'string') {
    console.error(`otlier: http://${formatListen(endpoint)}/ready: ${answer}`)
    return 1
  }
  // Whoever answered there.
  console.log(harmless(answer.body.trimEnd()))
  return answer.status === 200 ? 0 : 1
}
