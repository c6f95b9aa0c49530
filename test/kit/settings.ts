//! Configurations for tests: files in memory, a machine of known size, and nothing from the environment but what a test gives.
import type { Variables } from '../../src/base/substitute.ts'
import { renderProblem } from '../../src/base/tree.ts'
import { loadConfig } from '../../src/commands/load-config.ts'
import type { Settled } from '../../src/commands/settle-config.ts'

export interface Written {
  /** Files by name, or the text of one, which is then called otlier.yaml. Laid over each other in their order. */
  readonly files?: string | Readonly<Record<string, string | Uint8Array>>
  readonly set?: readonly string[]
  readonly variables?: Variables
  readonly portOffset?: string
  readonly memory?: { readonly totalBytes: number; readonly limitBytes: number }
}

export const GIB = 2 ** 30

/** Loads a configuration as the commands do. */
export function load(written: Written = {}): Promise<Settled> {
  const files = typeof written.files === 'string' ? { 'otlier.yaml': written.files } : (written.files ?? {})
  const flags = { config: Object.keys(files), set: written.set ?? [], portOffset: written.portOffset ?? null }
  return loadConfig(flags, {
    variables: written.variables ?? {},
    memory: written.memory ?? { totalBytes: 4 * GIB, limitBytes: 0 },
    disk: {
      async read(path) {
        const content = files[path]
        return typeof content === 'string' ? new TextEncoder().encode(content) : (content ?? null)
      },
    },
  })
}

/** What is said, as it is printed. */
export const complaints = ({ problems }: Settled) => problems.map(renderProblem)

/** The configuration, which must be without a fault. */
export async function valid(written: Written = {}) {
  const settled = await load(written)
  const said = complaints(settled)
  if (said.length > 0) throw new Error(`expected no complaint:\n${said.join('\n')}`)
  return settled
}

/** The effective value under a dotted path, as it is printed. */
export const shownAt = (shown: unknown, path: string) =>
  path.split('.').reduce((at, step) => (at as Record<string, unknown> | undefined)?.[step], shown)
