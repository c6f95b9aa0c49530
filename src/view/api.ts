//! What the HTTP API answers: incidents, traces and suspects as JSON, and a sentence where a question cannot be answered.
import { json, type Order, type Question, type Reply } from '../base/serve.ts'
import { clip } from '../base/words.ts'
import type { Accounts } from '../bus/accounts.ts'
import { isSeed, SEEDS, type Selftest } from '../bus/selftest.ts'

const MOST_QUERY = 2048
const MOST_NAME = 256
/** Milliseconds since 1970, or a time as RFC 3339 has it. */
const MILLISECONDS = /^\d{1,15}$/
const MOMENT = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)$/

/** What is asked. */
export interface Asked {
  readonly accounts: Accounts
  readonly selftest: Selftest
}

/** The answer to one question; null where nothing is under its path. */
export function answer({ accounts, selftest }: Asked, { path, query }: Question): Reply | null {
  const [root, api, what, id, more] = path.split('/', 6)
  if (root !== '' || api !== 'api' || more !== undefined) return null
  if (what === 'incidents' && id === undefined) return json(200, { incidents: accounts.incidents() })
  if (what === 'incidents' && id !== undefined) return incident(accounts, id)
  if (what === 'traces' && id !== undefined) return trace(accounts, id)
  if (what === 'selftest' && id === undefined) return json(200, selftest.now())
  return what === 'suspects' && id === undefined ? suspects(accounts, query) : null
}

/** Begins a self-test, the one thing that can be had done here; null where nothing is under the path. */
export function obey({ selftest }: Asked, { path, query, isLocal, intent }: Order): Reply | null {
  if (path !== '/api/selftest') return null
  if (!isLocal) return wrong(403, 'A self-test is started from the machine on which Otlier runs.')
  if (intent !== 'selftest') return wrong(403, 'A self-test is started with the header x-otlier: selftest.')
  if (query.length > MOST_QUERY) return wrong(400, `The query is longer than ${MOST_QUERY} characters.`)
  const asked = [...new URLSearchParams(query)]
  const [[name, seed] = ['seed', null], ...more] = asked
  if (name !== 'seed' || more.length > 0) return wrong(400, 'Only seed may be given, and once.')
  if (seed !== null && !isSeed(seed))
    return wrong(400, `seed=${shown(seed)} is no whole number below ${SEEDS}.`)
  const begun = selftest.start(seed === null ? null : Number(seed))
  return 'wrong' in begun ? wrong(409, begun.wrong) : json(202, begun)
}

function incident(accounts: Accounts, text: string): Reply {
  const id = text.toUpperCase()
  if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(id))
    return wrong(400, `${shown(text)} is no id of an incident: it has 26 letters and digits.`)
  const found = accounts.incident(id)
  return found === null ? wrong(404, `No incident that is kept has the id ${id}.`) : json(200, found)
}

function trace(accounts: Accounts, text: string): Reply {
  const id = text.toLowerCase()
  if (!/^[0-9a-f]{32}$/.test(id) || /^0+$/.test(id))
    return wrong(400, `${shown(text)} is no id of a trace: it has 32 hexadecimal digits, not all zero.`)
  const found = accounts.trace(id)
  return found === null
    ? wrong(404, `Nothing that is kept names the trace ${id}: no incident, and no marked span.`)
    : json(200, found)
}

function suspects(accounts: Accounts, query: string): Reply {
  if (query.length > MOST_QUERY) return wrong(400, `The query is longer than ${MOST_QUERY} characters.`)
  const asked = new URLSearchParams(query)
  for (const name of asked.keys()) {
    if (name !== 'at' && name !== 'service')
      return wrong(400, `${shown(name)} is not asked for here; at and service are.`)
    if (asked.getAll(name).length > 1) return wrong(400, `${name} is given twice.`)
  }
  const at = asked.get('at')
  const atMs =
    at === null ? null : MILLISECONDS.test(at) ? Number(at) : MOMENT.test(at) ? Date.parse(at) : Number.NaN
  // The last moment that a Date can hold.
  if (atMs !== null && !(atMs <= 8.64e15))
    return wrong(400, `at=${shown(at ?? '')} is no time; write it as 2026-01-31T14:03:00Z.`)
  const service = asked.get('service')
  if (service !== null && (service === '' || service.length > MOST_NAME))
    return wrong(400, `service is the name of a service, at most ${MOST_NAME} characters long.`)
  const found = accounts.assess(atMs, service)
  return 'wrong' in found ? wrong(404, found.wrong) : json(200, found)
}

const wrong = (status: number, error: string): Reply => json(status, { error })
const shown = (text: string): string => JSON.stringify(clip(text, 64))
