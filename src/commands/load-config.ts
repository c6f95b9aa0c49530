//! Brings the configuration together: the machine, variables, files in their order, `--set`; then settles it.
import { homedir, totalmem } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Node } from '../base/settings.ts'
import type { Variables } from '../base/substitute.ts'
import { branch, leaf, merge, type Place, type Problem, type Report, type Tree } from '../base/tree.ts'
import { type Disk, realWorld } from '../base/world.ts'
import { type Config, SETTINGS } from '../config.ts'
import type { ConfigFlags } from './arguments.ts'
import { compressionLayer, otelLayer } from './otel-variables.ts'
import { type Settled, settleConfig } from './settle-config.ts'

/** What a configuration depends on beside what is written. */
export interface Surroundings {
  readonly variables: Variables
  readonly disk: Pick<Disk, 'read'>
  /** What the machine has, and what the container may use; 0 or absurdly much where nothing limits it. */
  readonly memory: { readonly totalBytes: number; readonly limitBytes: number }
}

export const realSurroundings = (): Surroundings => ({
  variables: process.env,
  disk: realWorld.disk,
  memory: { totalBytes: totalmem(), limitBytes: process.constrainedMemory() },
})

/** Reads and checks everything; all problems come back together. Never rejects for what somebody wrote. */
export async function loadConfig(flags: ConfigFlags, surroundings: Surroundings): Promise<Settled> {
  const problems: Problem[] = []
  const report: Report = (place, path, text, severity = 'error') => {
    // A variable is read for several layers, and complained of once.
    const told = problems.some(
      problem =>
        problem.text === text && problem.place?.source === place?.source && place?.kind === 'variable',
    )
    if (!told) problems.push({ severity, place, path, text })
  }
  const { variables } = surroundings
  const files = (await readFiles(flags.config, surroundings, report)).reduce(merge, branch(at('default')))
  const sets = (await readSets(flags.set, variables, report)).reduce(merge, branch(at('--set')))
  const otel = otelLayer(variables, merge(files, sets), report)
  const compression = compressionLayer(variables, merge(files, sets), report)
  const layers = [machineLayer(surroundings), otel.tree, files, compression, sets]
  const unreadable = problems.some(problem => problem.severity === 'error')
  const portOffset = readPortOffset(flags.portOffset, report)
  const settled = settleConfig(layers.reduce(merge), { portOffset, exact: otel.exact })
  // A file that cannot be read at all would make the rest complain about what it does not say.
  const rest = unreadable
    ? settled.problems.filter(problem => problem.severity === 'error' && problem.place !== null)
    : settled.problems
  return { ...settled, problems: inOrder([...problems, ...rest]) }
}

const at = (source: string): Place => ({ source, kind: 'variable', line: 0, column: 0 })

const MIB = 2 ** 20
const MAX_DEFAULT_MIB = 2048

/** What the machine and OTLIER_DIRECTORY say, under everything else. */
function machineLayer({ memory, variables }: Surroundings): Tree {
  const limited = memory.limitBytes > 0 && memory.limitBytes < memory.totalBytes
  const bytes = limited ? memory.limitBytes * 0.8 : Math.min(memory.totalBytes / 4, MAX_DEFAULT_MIB * MIB)
  const layer: [string, Tree][] = [
    ['memory_limit_mib', leaf(String(Math.max(64, Math.floor(bytes / MIB))), at('memory of the machine'))],
  ]
  const directory = variables['OTLIER_DIRECTORY']
  if (directory !== undefined && directory !== '')
    layer.push(['directory', leaf(directory, at('OTLIER_DIRECTORY'), true)])
  return branch(at('default'), layer)
}

async function readFiles(
  paths: readonly string[],
  { disk, variables }: Surroundings,
  report: Report,
): Promise<Tree[]> {
  const trees: Tree[] = []
  if (paths.length === 0) return trees
  const { readYaml } = await import('./read-yaml.ts')
  for (const path of paths) {
    const place: Place = { source: path, kind: 'file', line: 0, column: 0 }
    let bytes: Uint8Array | null
    try {
      bytes = await disk.read(path)
    } catch (error) {
      report(place, '', `cannot be read: ${(error as Error).message}`)
      continue
    }
    if (bytes === null) {
      report(place, '', 'there is no such file')
      continue
    }
    const text = decode(bytes)
    if (text === null) report(place, '', 'is not UTF-8 text')
    const tree = text === null ? undefined : readYaml(text, place, variables, report)
    if (tree?.kind === 'branch') trees.push(tree)
    else if (tree !== undefined)
      report(tree.place, '', `settings are expected here: ${Object.keys(SETTINGS.fields).join(', ')}`)
  }
  return trees
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return null
  }
}

async function readSets(sets: readonly string[], variables: Variables, report: Report): Promise<Tree[]> {
  const trees: Tree[] = []
  for (const written of sets) {
    const { readYaml } = await import('./read-yaml.ts')
    const cut = written.indexOf('=')
    const key = cut === -1 ? written : written.slice(0, cut)
    // The value stays out of the name of the place: it may be a secret.
    const place: Place = { source: `--set ${key}`, kind: 'set', line: 0, column: 0 }
    if (cut < 1) {
      report(place, '', 'write it as --set key=value, such as --set service.logs.level=debug')
      continue
    }
    const value = readYaml(written.slice(cut + 1), place, variables, report)
    if (value === undefined) continue
    // Nothing after the = is nothing written, not a section without settings.
    const nothing = value.kind === 'branch' && value.entries.size === 0
    const steps = splitPath(key)
    trees.push(
      steps.reduceRight<Tree>(
        (under, step) => branch(place, [[step, under]]),
        nothing ? leaf(null, place) : value,
      ),
    )
  }
  return trees
}

/** Steps of a dotted path. Below a map of names, such as headers, the rest is one name, dots included. */
function splitPath(path: string): string[] {
  const steps: string[] = []
  let node: Node | undefined = SETTINGS
  let rest = path
  while (rest !== '') {
    const dot: number = node?.kind === 'field' ? -1 : rest.indexOf('.')
    const step = dot === -1 ? rest : rest.slice(0, dot)
    rest = dot === -1 ? '' : rest.slice(dot + 1)
    steps.push(step)
    if (node === undefined || node.kind === 'field') continue
    const key: string = node.kind === 'kinds' ? step.split('/')[0] : step
    node = Object.hasOwn(node.fields, key) ? (node.fields[key] as Node) : undefined
  }
  return steps
}

function readPortOffset(written: string | null, report: Report): number {
  if (written === null) return 0
  if (/^-?\d{1,5}$/.test(written)) return Number(written)
  report(
    { source: '--port-offset', kind: 'set', line: 0, column: 0 },
    '',
    `${JSON.stringify(written)} is not a whole number`,
  )
  return 0
}

/** By source as first met, then by line: as somebody goes through a file. */
function inOrder(problems: readonly Problem[]): Problem[] {
  const sources = [...new Set(problems.map(problem => problem.place?.source))]
  const key = ({ place }: Problem) => [sources.indexOf(place?.source), place?.line ?? 0, place?.column ?? 0]
  return problems.toSorted((a, b) => {
    const [left, right] = [key(a), key(b)]
    return left[0] - right[0] || left[1] - right[1] || left[2] - right[2]
  })
}

/** Where `directory: auto` looks, best first. */
export function directoryCandidates(variables: Variables): string[] {
  const state = variables['XDG_STATE_HOME']
  const home = state !== undefined && isAbsolute(state) ? state : join(homedir(), '.local', 'state')
  return ['/var/lib/otlier', join(home, 'otlier')]
}

/** The directory that can be written to, made where missing; null for `none` and, with a warning, where none can be. */
export async function chooseDirectory(config: Config, variables: Variables, disk: Pick<Disk, 'usable'>) {
  const wanted = config.directory
  if (wanted === 'none') return { path: null, warning: null }
  const candidates = wanted === 'auto' ? directoryCandidates(variables) : [wanted]
  for (const path of candidates) if (await disk.usable(path)) return { path, warning: null }
  const warning = `${candidates.join(' and ')} cannot be written to: what is learned is kept in memory only and lost at the end. Set directory to a place that can be, or to none.`
  return { path: null, warning }
}
