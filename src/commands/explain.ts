//! `otlier explain`: why there was an incident, or why there was none, from the running service or from a recording.
import { silentLog } from '../base/log.ts'
import { clip } from '../base/words.ts'
import type {
  Accounts,
  Assessment,
  IncidentLine,
  IncidentRecord,
  SuspectRecord,
  TraceRecord,
} from '../bus/accounts.ts'
import type { Config } from '../config.ts'
import { type Arguments, configFlags, readArguments, UsageError } from './arguments.ts'
import { askJson } from './ask.ts'
import { assessmentWords, incidentWords, listWords, traceWords } from './explain-words.ts'
import { COMMANDS } from './help.ts'
import { loadConfig, realSurroundings } from './load-config.ts'
import { reportProblems } from './validate.ts'
import { VERSION } from './version.ts'

const HINT =
  'Start it with: otlier run (--port-offset and --config as here), or ask a recording: --input FILE'
const SHOWN_BAD_LINES = 10

/** What is asked. */
export type Query =
  | { readonly kind: 'list' }
  | { readonly kind: 'incident'; readonly id: string }
  | { readonly kind: 'trace'; readonly id: string }
  | { readonly kind: 'at'; readonly atMs: number; readonly service: string | null }

type Answer =
  | { readonly kind: 'list'; readonly incidents: readonly IncidentLine[] }
  | { readonly kind: 'incident'; readonly incident: IncidentRecord }
  | { readonly kind: 'trace'; readonly trace: TraceRecord }
  | { readonly kind: 'at'; readonly assessment: Assessment }
  | { readonly kind: 'none'; readonly why: string }

export async function explain(args: readonly string[]): Promise<number> {
  const parsed = readArguments(args, COMMANDS.explain.options, 'INCIDENT')
  const query = readQuery(parsed)
  const settled = await loadConfig(configFlags(parsed), realSurroundings())
  if (settled.problems.some(problem => problem.severity === 'error')) {
    reportProblems(settled)
    return 2
  }
  const inputs = parsed.all('input')
  const answer =
    inputs.length > 0
      ? await askRecording(query, inputs, settled.config)
      : await askService(query, settled.config)
  if (answer.kind === 'none') {
    console.error(`otlier: ${answer.why}`)
    return 1
  }
  console.log(
    parsed.has('json') ? JSON.stringify({ suspects: suspectsOf(answer).map(plain) }) : words(answer),
  )
  return 0
}

/** Exported for its tests. Throws UsageError. */
export function readQuery(parsed: Arguments): Query {
  const [id, more] = parsed.positionals
  const at = parsed.one('at')
  const service = parsed.one('service')
  if (more !== undefined)
    throw new UsageError(`${JSON.stringify(clip(more, 64))} is one id too many; explain one at a time`)
  if (at !== null) {
    if (id !== undefined)
      throw new UsageError('--at asks about a moment, and not about an incident; leave one of them out')
    const atMs = momentOf(at)
    if (atMs === null)
      throw new UsageError(
        `--at ${JSON.stringify(clip(at, 64))} is no time; write it as 2026-01-31T14:03:00Z`,
      )
    return { kind: 'at', atMs, service }
  }
  if (service !== null) throw new UsageError('--service belongs to --at TIME')
  if (id === undefined) {
    if (parsed.has('json'))
      throw new UsageError(
        '--json gives the suspects of one INCIDENT or TRACE, or those at one moment: --at TIME',
      )
    return { kind: 'list' }
  }
  if (/^[0-9a-f]{32}$/i.test(id)) return { kind: 'trace', id: id.toLowerCase() }
  if (/^[0-9A-HJKMNP-TV-Z]{26}$/i.test(id)) return { kind: 'incident', id: id.toUpperCase() }
  throw new UsageError(
    `${JSON.stringify(clip(id, 64))} is neither the id of an incident (26 letters and digits) nor that of a trace (32 hexadecimal digits)`,
  )
}

/** A time as RFC 3339 has it; without an offset it is UTC. Null where it is none. */
function momentOf(text: string): number | null {
  const found = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)([Zz]|[+-]\d\d:\d\d)?$/.exec(text)
  if (found === null) return null
  const ms = Date.parse(`${found[1]}T${found[2]}${(found[3] ?? 'Z').toUpperCase()}`)
  return Number.isNaN(ms) ? null : ms
}

async function askService(query: Query, config: Config): Promise<Answer> {
  const { endpoint } = config.service.view
  if (endpoint === null) {
    return none(
      'service.view.endpoint is none: there is nobody to ask. A recording can be asked: --input FILE',
    )
  }
  const path = pathOf(query)
  const answer = await askJson(endpoint, path, HINT)
  if ('wrong' in answer) return none(answer.wrong)
  const { body } = answer
  switch (query.kind) {
    case 'list':
      return { kind: 'list', incidents: (body as { incidents: IncidentLine[] }).incidents }
    case 'incident':
      return { kind: 'incident', incident: body as IncidentRecord }
    case 'trace':
      return { kind: 'trace', trace: body as TraceRecord }
    case 'at':
      return { kind: 'at', assessment: body as Assessment }
  }
}

function pathOf(query: Query): string {
  switch (query.kind) {
    case 'list':
      return '/api/incidents'
    case 'incident':
      return `/api/incidents/${query.id}`
    case 'trace':
      return `/api/traces/${query.id}`
    case 'at': {
      const asked = new URLSearchParams({ at: String(query.atMs) })
      if (query.service !== null) asked.set('service', query.service)
      return `/api/suspects?${asked}`
    }
  }
}

async function askRecording(query: Query, inputs: readonly string[], config: Config): Promise<Answer> {
  // Not before: who asks the running service must not wait for all of it to be loaded.
  const [{ replayFiles }, { detecting }] = await Promise.all([
    import('./replay-files.ts'),
    import('../otlier.ts'),
  ])
  let bad = 0
  try {
    const { accounts, lines } = await replayFiles({
      inputs,
      events: null,
      out: null,
      detecting: detecting(config),
      version: VERSION,
      log: silentLog,
      onBad: ({ file, number, why }) => {
        if (++bad <= SHOWN_BAD_LINES)
          console.error(`otlier: ${file}:${number}: ${why} The line was left out.`)
      },
      ...(query.kind === 'at' ? { untilMs: query.atMs } : {}),
    })
    if (lines === 0)
      return none(
        query.kind === 'at' ? 'Nothing of the recording ends by that time.' : 'The recording is empty.',
      )
    return answerOf(query, accounts)
  } catch (error) {
    const { code, path, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    return none(`${path ?? 'explain'}: ${message}`)
  }
}

function answerOf(query: Query, accounts: Accounts): Answer {
  switch (query.kind) {
    case 'list':
      return { kind: 'list', incidents: accounts.incidents() }
    case 'incident': {
      const incident = accounts.incident(query.id)
      return incident === null
        ? none(`No incident of the recording has the id ${query.id}.`)
        : { kind: 'incident', incident }
    }
    case 'trace': {
      const trace = accounts.trace(query.id)
      return trace === null
        ? none(`Nothing in the recording names the trace ${query.id}: no incident, and no marked span.`)
        : { kind: 'trace', trace }
    }
    case 'at': {
      const assessment = accounts.assess(query.atMs, query.service)
      return 'wrong' in assessment ? none(assessment.wrong) : { kind: 'at', assessment }
    }
  }
}

const none = (why: string): Answer => ({ kind: 'none', why })

function suspectsOf(answer: Answer): readonly SuspectRecord[] {
  if (answer.kind === 'incident') return answer.incident.suspects
  if (answer.kind === 'at') return answer.assessment.suspects
  return answer.kind === 'trace' ? (answer.trace.incidents[0]?.suspects ?? []) : []
}

const plain = ({ service, score }: SuspectRecord) => ({ service, score })

function words(answer: Exclude<Answer, { kind: 'none' }>): string {
  switch (answer.kind) {
    case 'list':
      return listWords(answer.incidents)
    case 'incident':
      return incidentWords(answer.incident)
    case 'trace':
      return traceWords(answer.trace)
    case 'at':
      return assessmentWords(answer.assessment)
  }
}
