//! Cross-origin requests: which pages of a browser may send telemetry here.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'

export interface Cors {
  /** Origins such as `https://shop.example`; a `*` stands for any run of characters. */
  readonly allowedOrigins: readonly string[]
  /** Request headers that pages may set, beside the simple ones and Content-Type. `*` allows all. */
  readonly allowedHeaders?: readonly string[]
  /** How long a browser may remember the answer to a preflight. */
  readonly maxAgeSeconds?: number
}

const ALWAYS_ALLOWED = ['accept', 'content-type', 'content-encoding', 'x-requested-with']

/** Whether `text` fits `pattern`. Backtracks to the last `*` only, so that no origin can make it slow. */
function fits(pattern: string, text: string): boolean {
  let at = 0
  let from = 0
  let star = -1
  let retry = 0
  while (from < text.length) {
    if (pattern[at] === '*') {
      star = at++
      retry = from
    } else if (pattern[at] === text[from]) {
      at++
      from++
    } else if (star !== -1) {
      at = star + 1
      from = ++retry
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}

/** What every answer carries: the origin, where it is allowed. */
export function corsHeaders(cors: Cors, request: IncomingHttpHeaders): OutgoingHttpHeaders {
  // A cache must not give one origin the answer of another.
  const vary = { vary: 'Origin' }
  const { origin } = request
  if (origin === undefined) return vary
  const written = origin.toLowerCase()
  const isAllowed = cors.allowedOrigins.some(pattern => fits(pattern.toLowerCase(), written))
  return isAllowed ? { ...vary, 'access-control-allow-origin': origin } : vary
}

/** The answer to OPTIONS. Without permissions in it, the browser does not send. */
export function preflightHeaders(cors: Cors, request: IncomingHttpHeaders): OutgoingHttpHeaders {
  const headers = corsHeaders(cors, request)
  if (headers['access-control-allow-origin'] === undefined) return headers
  const asked = (request['access-control-request-headers'] ?? '')
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '')
  const allowed = [...ALWAYS_ALLOWED, ...(cors.allowedHeaders ?? []).map(name => name.toLowerCase())]
  if (!allowed.includes('*') && !asked.every(name => allowed.includes(name))) return { vary: 'Origin' }
  return {
    ...headers,
    'access-control-allow-methods': 'POST',
    ...(asked.length === 0 ? {} : { 'access-control-allow-headers': asked.join(', ') }),
    ...(cors.maxAgeSeconds === undefined ? {} : { 'access-control-max-age': String(cors.maxAgeSeconds) }),
  }
}
