//! The registry as text: Prometheus 0.0.4, or OpenMetrics 1.0 where the scraper asks for it, the latter with exemplars.
import { type Exemplar, type Family, type Labels, MAX_CELLS, type Registry } from '../base/counters.ts'

export type TextFormat = 'prometheus' | 'openmetrics'

export const CONTENT_TYPES: Record<TextFormat, string> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** Who is speaking. The instance id is a label of every sample: a restarted Otlier is another writer. */
export interface Identity {
  readonly version: string
  readonly instanceId: string
}

/** One scrape. Families stand in the order of their registration, after `target_info`; those without samples are left out. */
export function renderMetrics(registry: Registry, format: TextFormat, identity: Identity): string {
  const own: Labels = { 'service.instance.id': identity.instanceId }
  const target = { 'service.name': 'otlier', 'service.version': identity.version, ...own }
  const lines = [
    // OpenMetrics has a type for it and names the family without its suffix.
    ...(format === 'openmetrics'
      ? ['# TYPE target info', '# HELP target What is being scraped.']
      : ['# HELP target_info What is being scraped.', '# TYPE target_info gauge']),
    `target_info${labelText(target)} 1`,
  ]
  for (const family of registry.families()) renderFamily(lines, family, format, own)
  if (format === 'openmetrics') lines.push('# EOF')
  return `${lines.join('\n')}\n`
}

/** OpenMetrics where `accept` likes it at least as much as plain text and names it; plain text for everybody else. */
export function negotiate(accept: string | undefined): TextFormat {
  let openmetrics = 0
  let plain = 0
  for (const range of (accept ?? '').slice(0, 1024).toLowerCase().split(',')) {
    const [type, ...parameters] = range.split(';').map(part => part.trim())
    const given = parameters.find(parameter => parameter.startsWith('q='))
    const quality = given === undefined ? 1 : Number(given.slice(2)) || 0
    const version = parameters.find(parameter => parameter.startsWith('version='))
    const known = version === undefined || /^version="?1\.0\.0"?$/.test(version)
    if (type === 'application/openmetrics-text' && known) openmetrics = Math.max(openmetrics, quality)
    if (type === 'text/plain' || type === 'text/*' || type === '*/*') plain = Math.max(plain, quality)
  }
  return openmetrics > 0 && openmetrics >= plain ? 'openmetrics' : 'prometheus'
}

function renderFamily(lines: string[], family: Family, format: TextFormat, own: Labels): void {
  const name = metricName(family)
  const sampleName = family.kind === 'counter' ? `${name}_total` : name
  const samples: string[] = []
  for (const cell of family.cells()) {
    // Registered families are bounded already; this bounds the observed ones.
    if (samples.length === MAX_CELLS) break
    const exemplar = format === 'openmetrics' && family.kind === 'counter' ? exemplarText(cell.exemplar) : ''
    samples.push(`${sampleName}${labelText({ ...cell.labels, ...own })} ${numberText(cell.value)}${exemplar}`)
  }
  if (samples.length === 0) return
  // In OpenMetrics the suffix belongs to the sample, in the older format to the name.
  const title = format === 'openmetrics' ? name : sampleName
  lines.push(`# HELP ${title} ${escapeHelp(family.help, format)}`)
  lines.push(`# TYPE ${title} ${family.kind === 'counter' ? 'counter' : 'gauge'}`)
  const unit = UNITS[family.unit]
  if (format === 'openmetrics' && unit !== undefined && name.endsWith(`_${unit}`))
    lines.push(`# UNIT ${title} ${unit}`)
  lines.push(...samples)
}

/** UCUM units by the words that Prometheus names end in. `{span}` and the like are annotations and leave no trace. */
const UNITS: Record<string, string> = {
  s: 'seconds',
  ms: 'milliseconds',
  By: 'bytes',
  '1': 'ratio',
  '{span}/s': 'per_second',
}

/**
 * The family's name without `_total`. Dotted names get their unit as OpenTelemetry's compatibility rules say; names that
 * come with underscores are ported from the Collector and stay as dashboards know them.
 */
function metricName(family: Family): string {
  const name = family.name.replace(/[^a-zA-Z0-9_:]/g, '_').replace(/^(?=[0-9])/, '_')
  const unit = UNITS[family.unit]
  const bare = unit === undefined || !family.name.includes('.') || name.endsWith(`_${unit}`)
  // A ratio is a gauge's unit only: on a counter `1` merely says that it counts.
  return bare || (unit === 'ratio' && family.kind !== 'gauge') ? name : `${name}_${unit}`
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([key, value]) => `${labelName(key)}="${escapeValue(value)}"`)
  return `{${parts.join(',')}}`
}

const labelName = (key: string) => key.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=[0-9])/, '_')

// A label value comes from telemetry: half a surrogate pair would make the whole scrape invalid UTF-8.
const escapeValue = (value: string) =>
  value.toWellFormed().replace(/[\\"\n]/g, found => (found === '\n' ? '\\n' : `\\${found}`))

const escapeHelp = (help: string, format: TextFormat) =>
  format === 'openmetrics' ? escapeValue(help) : help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}

/** The labels of an exemplar may hold 128 characters together; ids hold 70. */
function exemplarText(exemplar: Exemplar | null): string {
  if (exemplar === null) return ''
  const span: Labels = exemplar.spanId === '' ? {} : { span_id: exemplar.spanId }
  const labels = labelText({ trace_id: exemplar.traceId, ...span })
  return ` # ${labels} ${numberText(exemplar.value)} ${numberText(exemplar.timeMs / 1000)}`
}
