//! What `otlier explain` prints: the reasoning in plain words, with its numbers. What telemetry brought in cannot steer a terminal.
import { clip, duration, number } from '../base/words.ts'
import type {
  Assessment,
  ChangeRecord,
  EvidenceRecord,
  IncidentLine,
  IncidentRecord,
  SuspectRecord,
  TraceRecord,
} from '../bus/accounts.ts'

const MOST_CHARACTERS = 600
/** The first suspect is told of at length, the others in short. */
const SHOWN_SUSPECTS = 5
const SHOWN_EVIDENCE = 8
const SHOWN_CHANGES = 12

export function listWords(incidents: readonly IncidentLine[]): string {
  if (incidents.length === 0) return 'No incident is kept: none has opened.'
  return text(
    incidents.map(({ id, state, title }) => `${id}  ${state.padEnd(8)}  ${title}`),
    [],
    ['otlier explain INCIDENT gives the reasoning of one of them.'],
  )
}

export function incidentWords(incident: IncidentRecord): string {
  const { id, state, severity, sinceMs, openedMs, endedMs, peakMs, level, suspects } = incident
  const span = (fromMs: number, toMs: number) => duration(Math.max(0, toMs - fromMs) * 1e6)
  return text(
    [incident.title, `Incident ${id}, ${severity}, ${state}.`],
    [
      `Since ${time(sinceMs)}, opened with the window that ended ${time(openedMs)}, strongest at ${time(peakMs)}${
        endedMs === null ? '' : `, over by ${time(endedMs)}, after ${span(sinceMs, endedMs)}`
      }.`,
      levelWords(level, incident.budgetPerDay),
    ],
    section('Suspects', suspects.slice(0, SHOWN_SUSPECTS).flatMap(suspectLines)),
    section('What belongs to it', incident.members.map(evidenceLine)),
    section('Sets the hurt ones apart', incident.contributors.map(bullet)),
    section('Changed in the ten minutes before', changeLines(incident.changes)),
    section('Set aside', incident.aside.map(evidenceLine)),
    section('Traces', incident.traceIds.map(bullet)),
    section(
      'Told',
      incident.told.map(({ atMs, event, text }) => `  ${time(atMs)}  ${event}: ${text}`),
    ),
  )
}

export function traceWords({ traceId, marks, incidents }: TraceRecord): string {
  return text(
    [`Trace ${traceId}`],
    section(
      'Marked spans',
      marks.map(mark => `  ${time(mark.atMs)}  ${mark.service}: ${mark.text}`),
    ),
    incidents.length === 0
      ? ['', 'No incident that is kept names this trace.']
      : incidents.flatMap(incident => ['', incidentWords(incident)]),
  )
}

export function assessmentWords(assessment: Assessment): string {
  const { atMs, service, suspects, evidence, incidents, level } = assessment
  const [first] = suspects
  return text(
    [
      first === undefined
        ? `At ${time(atMs)} nothing spoke for any suspect.`
        : `At ${time(atMs)} the likeliest suspect was ${first.service}.`,
      'By what had been seen up to then, the strongest evidence of the three minutes before it.',
      levelWords(level, assessment.budgetPerDay),
    ],
    ['', ...whyNot(assessment)],
    section(
      'Incidents that were open',
      incidents.map(({ id, title }) => `  ${id}  ${title}`),
    ),
    section('Suspects', suspects.slice(0, SHOWN_SUSPECTS).flatMap(suspectLines)),
    section(
      service === null ? 'The strongest evidence' : `What was seen of ${service}`,
      evidence.map(evidenceLine),
    ),
    section('Changed in the ten minutes before', changeLines(assessment.changes)),
    section('What limits this answer', assessment.limits.map(bullet)),
  )
}

/** Why nobody was told, or that somebody was. */
function whyNot({ service, evidence, incidents }: Assessment): string[] {
  const told = incidents.filter(({ suspected }) => service === null || suspected.includes(service))
  if (told.length > 0) return [`It was told: incident ${told[0].id}, opened at ${time(told[0].openedMs)}.`]
  const of = service === null ? 'Nobody was told of anything' : `Nobody was told of ${service}`
  const [strongest] = evidence
  if (strongest === undefined)
    return [`${of}: nothing departed from what is normal by 1.5 standard deviations.`]
  const { phrase, aside, strength } = strongest
  const why = aside === '' ? 'it passed everything, and came too late for this moment' : aside
  return [
    `${of}. The strongest evidence was: ${strongest.service}: ${phrase}; ${why}. Its strength is ${number2(strength)}.`,
  ]
}

function suspectLines({ service, score, notes, evidence }: SuspectRecord, place: number): string[] {
  const shown = place === 0 ? SHOWN_EVIDENCE : 2
  const left = evidence.length - shown
  return [
    `  ${place + 1}. ${service}  (score ${number2(score)})`,
    ...evidence.slice(0, shown).map(one => `   ${evidenceLine(one)}`),
    ...(left > 0 ? [`     - and ${left} more`] : []),
    ...notes.map(note => `     - ${note}`),
  ]
}

function evidenceLine({
  service,
  phrase,
  z,
  samples,
  strength,
  overMs,
  atMs,
  aside,
}: EvidenceRecord): string {
  const numbers = `z ${number2(z)}, ${number(Math.round(samples))} samples over ${duration(overMs * 1e6)}, strength ${number2(strength)}, ${time(atMs)}`
  return `  - ${service}: ${phrase} (${numbers})${aside === '' ? '' : `; ${aside}`}`
}

const changeLines = (changes: readonly ChangeRecord[]): string[] => {
  const left = changes.length - SHOWN_CHANGES
  const lines = changes
    .slice(-SHOWN_CHANGES)
    .map(({ atMs, service, what }) => `  ${time(atMs)}  ${service}: ${what}`)
  return left > 0 ? [`  (${left} earlier ones left out)`, ...lines] : lines
}

const levelWords = (level: number | null, budgetPerDay: number): string =>
  level === null
    ? 'No level was set yet from which on incidents open.'
    : `Incidents open from strength ${number2(level)} on: calm times reach it ${budgetPerDay === 1 ? 'once' : `${number(budgetPerDay)} times`} a day, the budget. Strength 0 is what one kind of sign reaches once an hour, and each step up is e times as rare.`

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : ['', `${title}:`, ...lines]
const bullet = (line: string): string => `  - ${line}`
const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
const number2 = (value: number): string => String(Math.round(value * 100) / 100)
const text = (...parts: readonly (readonly string[])[]): string =>
  parts
    .flat()
    .flatMap(part => part.split('\n'))
    .map(line => clip(line, MOST_CHARACTERS))
    .join('\n')
