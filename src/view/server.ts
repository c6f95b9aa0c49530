//! The web view's listener: the HTTP API, for this machine unless told otherwise.
import { isIP } from 'node:net'
import type { Listen } from '../base/endpoints.ts'
import type { Log } from '../base/log.ts'
import { json, type Served, serve } from '../base/serve.ts'
import type { Accounts } from '../bus/accounts.ts'
import { answer } from './api.ts'

/** Rejects with the system's error where the address is taken. */
export const startView = (at: Listen, accounts: Accounts, log: Log): Promise<Served> =>
  serve(at, log, question =>
    isOwnName(question.host, at)
      ? answer(accounts, question)
      : json(403, { error: 'Ask by address or by the name that service.view.endpoint has.' }),
  )

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
