//! The table of settings in other forms: a JSON schema for editors, a Markdown table for the README, and a file to start from.
import { type Field, type Fields, type JsonSchema, NAME_PATTERN, type Node } from '../base/settings.ts'
import { SETTINGS } from '../config.ts'

/** For `# yaml-language-server: $schema=...` and the like. */
export function jsonSchema(): JsonSchema {
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'Otlier', ...schemaOf(SETTINGS) }
}

function schemaOf(node: Node): JsonSchema {
  const description = node.help
  if (node.kind === 'field') {
    const initial =
      node.initial === null || node.later !== undefined ? {} : { default: node.show(node.fallback) }
    // Null is everywhere allowed: it says nothing.
    return { description, ...initial, anyOf: [node.schema, { type: 'null' }] }
  }
  const children = Object.entries(node.fields as Fields)
  const shape = { description, type: ['object', 'null'], additionalProperties: false }
  if (node.kind !== 'kinds')
    return {
      ...shape,
      properties: Object.fromEntries(children.map(([key, child]) => [key, schemaOf(child)])),
    }
  const named = children.map(([type, child]) => [`^${type}(/${NAME_PATTERN})?$`, schemaOf(child)])
  return { ...shape, patternProperties: Object.fromEntries(named) }
}

interface Row {
  readonly path: readonly string[]
  readonly field: Field<unknown>
}

function rowsOf(node: Node, path: readonly string[] = []): Row[] {
  if (node.kind === 'field') return [{ path, field: node }]
  return Object.entries(node.fields as Fields).flatMap(([key, child]) => rowsOf(child, [...path, key]))
}

/** Settings that several sections share stand in one row: `exporters.{otlp,otlphttp}.timeout`. */
export function settingsTable(): string {
  const shared = new Map<Field<unknown>, string[][]>()
  for (const { path, field } of rowsOf(SETTINGS)) {
    const steps = shared.get(field)
    if (steps === undefined)
      shared.set(
        field,
        path.map(step => [step]),
      )
    else path.forEach((step, index) => void (steps[index].includes(step) || steps[index].push(step)))
  }
  const lines = ['| setting | default | what it does |', '|---|---|---|']
  for (const [field, steps] of shared) {
    if (field.later !== undefined) continue
    const path = steps.map(names => (names.length === 1 ? names[0] : `{${names.join(',')}}`)).join('.')
    lines.push(`| \`${path}\` | ${defaultOf(field)} | ${field.help.replaceAll('|', '\\|')} |`)
  }
  return lines.join('\n')
}

function defaultOf(field: Field<unknown>): string {
  if (field.initialNote !== undefined) return field.initialNote.replaceAll('|', '\\|')
  return field.initial === null
    ? field.required === undefined
      ? ''
      : 'none; needed'
    : `\`${field.initial}\``
}

const EXPORTERS = [
  '# exporters:',
  '#   otlp/jaeger:',
  '#     endpoint: http://localhost:14317',
  '#   otlphttp/vendor:',
  '#     endpoint: https://otlp.example.com',
  '#     headers:',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the syntax of the file
  '#       authorization: Bearer ${env:VENDOR_TOKEN}',
]

/** A file with every setting at its default and its help above it; with it in force nothing changes. */
export function starterFile(): string {
  const lines = [
    '# Settings of Otlier, all at their defaults: keep what you change, delete the rest.',
    '# `otlier validate --config FILE` checks a file; `otlier config print --config FILE` shows what is in force.',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as above
    '# ${env:NAME} and ${env:NAME:-default} are replaced by environment variables; $$ is a $.',
    '',
  ]
  write(SETTINGS, '', lines)
  return `${lines.join('\n')}\n`
}

function write(node: Exclude<Node, Field<unknown>>, indent: string, lines: string[]) {
  for (const [key, child] of Object.entries(node.fields as Fields)) {
    if (rowsOf(child).every(({ field }) => field.later !== undefined)) continue
    const comment = `${indent}# ${child.help}`
    if (child.kind === 'kinds') lines.push(comment, ...EXPORTERS.map(line => indent + line))
    else if (child.kind !== 'field') {
      // A section in which every line is a comment is one itself: it would stand there empty.
      const under: string[] = []
      write(child, `${indent}  `, under)
      lines.push(comment, `${indent}${key}:`, ...under)
    } else if (child.initialNote !== undefined && child.initial === null) {
      lines.push(comment, `${indent}# ${key}: (${child.initialNote})`)
    } else if (child.initial === null) lines.push(comment, `${indent}# ${key}:`)
    else lines.push(comment, `${indent}${key}: ${child.initial}`)
    if (indent === '') lines.push('')
  }
}
