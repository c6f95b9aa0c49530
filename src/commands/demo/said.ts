//! What Otlier says, as the demo hears it: its log records out of OTLP/JSON, with nothing in them believed to be there.

/** One of Otlier's events, as far as the demo shows it. */
export interface Said {
  readonly event: string
  readonly body: string
  readonly severity: number
  readonly incident: string
  readonly suspects: readonly string[]
  readonly scores: readonly number[]
  readonly contributors: readonly string[]
}

/** More records of one request are left out. */
const MOST_RECORDS = 1000

interface Json {
  readonly [key: string]: unknown
}

/** The events of an ExportLogsServiceRequest in JSON. Throws where it is no JSON. */
export function saidIn(text: string): Said[] {
  const found: Said[] = []
  for (const { scopeLogs } of list(object(JSON.parse(text))['resourceLogs']))
    for (const { logRecords } of list(scopeLogs))
      for (const record of list(logRecords)) if (found.length < MOST_RECORDS) found.push(readRecord(record))
  return found
}

function readRecord(record: Json): Said {
  const attributes = new Map(list(record['attributes']).map(({ key, value }) => [key, object(value)]))
  const values = (key: string) => list(object(attributes.get(key)?.['arrayValue'])['values'])
  const texts = (key: string) => values(key).map(value => text(value['stringValue']))
  return {
    event: text(record['eventName']),
    body: text(object(record['body'])['stringValue']),
    severity: Number(record['severityNumber']) || 0,
    incident: text(attributes.get('otlier.incident.id')?.['stringValue']),
    suspects: texts('otlier.incident.suspects'),
    scores: values('otlier.incident.suspect.scores').map(value => Number(value['doubleValue']) || 0),
    contributors: texts('otlier.incident.contributors'),
  }
}

const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {})
const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(object) : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
