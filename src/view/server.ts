//! The web view's listener: the HTTP API, for this machine unless told otherwise.
import { isIP } from 'node:net'
import type { Listen } from '../base/endpoints.ts'
import type { Log } from '../base/log.ts'
import { json, type Question, type Reply, type Served, serve } from '../base/serve.ts'
import { type Asked, answer, obey } from './api.ts'

/** Rejects with the system's error where the address is taken. */
export function startView(at: Listen, asked: Asked, log: Log): Promise<Served> {
  const own = <Q extends Question>(question: Q, answer: (question: Q) => Reply | null): Reply | null =>
    isOwnName(question.host, at)
      ? answer(question)
      : json(403, { error: 'Ask by address or by the name that service.view.endpoint has.' })
  return serve(
    at,
    log,
    question => own(question, each => answer(asked, each)),
    order => own(order, each => obey(asked, each)),
  )
}

/**
 * A page of another site may have its own name lead to this machine, and would then read what is served here (DNS rebinding). The
 * name that it asks for gives it away.
 */
function isOwnName(host: string | undefined, at: Listen): boolean {
  if (host === undefined) return true
  const name = host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
  return name === 'localhost' || isIP(name) !== 0 || name === at.host.toLowerCase()
}
