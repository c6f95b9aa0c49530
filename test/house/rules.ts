//! The rules of the house, each a function from files to sentences about what breaks it.
import { posix } from 'node:path'

export interface File {
  /** From the project's root, with forward slashes. */
  readonly path: string
  readonly text: string
}

const TOP_LEVEL = new Set(
  (
    'src proto test deploy package.json package-lock.json tsconfig.json README.md LICENSE CHANGELOG.md ' +
    '.ci .biome.json .gitignore .gitattributes .editorconfig .npmrc'
  ).split(' '),
)

/** The import table of src/README.md: a folder or file of src, and what it may see beside itself. */
export const LAYERS: Record<string, readonly string[] | 'all'> = {
  base: [],
  wire: ['base'],
  detect: ['base'],
  bus: ['detect', 'base'],
  flow: ['wire', 'detect', 'bus', 'base'],
  learn: ['detect', 'bus', 'base'],
  edge: ['flow/sink.ts', 'wire', 'bus', 'base'],
  view: ['bus', 'base'],
  'config.ts': ['base'],
  wiring: 'all',
  'otlier.ts': 'all',
  'main.ts': 'all',
  commands: 'all',
}

/** Folders that stand alone: nothing from npm. */
const NO_PACKAGES = ['base', 'wire', 'detect', 'bus', 'flow', 'learn']
/** The one place for a client of Kafka. */
const PACKAGES_ALLOWED = ['src/bus/kafka.ts']
/** Folders of pure functions: of Node's own modules only these. */
const PURE = ['wire', 'detect']
const PURE_MODULES = ['node:assert', 'node:buffer', 'node:util']
/** What a published Otlier finds beside dist/. */
const BESIDE_SRC = /^(package\.json$|proto(\/|$))/

const isCode = (path: string) => /\.(ts|mjs|js)$/.test(path)
const isSource = (path: string) => path.startsWith('src/') && isCode(path)

/** The text without comments; strings stay. */
export function code(text: string) {
  const token = /\/\/.*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g
  return text.replaceAll(token, found => (found.startsWith('/') ? ' ' : found))
}

/** Every module that a file names, and every file it finds by `new URL(..., import.meta.url)`. */
export function imports(text: string) {
  const bare = code(text)
  const modules: string[] = []
  for (const pattern of [
    /(?:^|\n)\s*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /(?:^|\n)\s*import\s*['"]([^'"]+)['"]/g,
    /\b(?:import|require)\(\s*['"]([^'"]+)['"]/g,
  ])
    for (const match of bare.matchAll(pattern)) modules.push(match[1])
  const urls = [...bare.matchAll(/new URL\(\s*['"`]([^'"`]+)['"`]\s*,\s*import\.meta\.url/g)].map(m => m[1])
  return { modules, urls }
}

export function topLevel(files: readonly File[]) {
  const names = new Set(files.map(file => file.path.split('/')[0]))
  return [...names].filter(name => !TOP_LEVEL.has(name)).map(name => `${name} has no place at the top level`)
}

export function directions(files: readonly File[]) {
  const wrong: string[] = []
  for (const { path, text } of files) {
    if (!isSource(path)) continue
    const layer = path.split('/')[1]
    const may = LAYERS[layer]
    if (may === undefined) {
      wrong.push(`${path} has no row in the table of layers`)
      continue
    }
    const { modules, urls } = imports(text)
    for (const module of modules) {
      if (!module.startsWith('.')) {
        const builtin = module.startsWith('node:')
        if (!builtin && NO_PACKAGES.includes(layer) && !PACKAGES_ALLOWED.includes(path))
          wrong.push(`${path} imports the package ${module}; ${layer} has none`)
        if (builtin && PURE.includes(layer) && !PURE_MODULES.includes(module))
          wrong.push(`${path} imports ${module}; ${layer} is pure`)
        continue
      }
      const target = posix.join(posix.dirname(path), module)
      const inside = target.startsWith('src/') ? target.slice(4) : null
      if (inside === null) wrong.push(`${path} imports ${target}, which is not in src`)
      else if (may !== 'all' && inside.split('/')[0] !== layer && !may.some(one => sees(one, inside)))
        wrong.push(`${path} imports ${target}; ${layer} may see ${may.join(', ') || 'nothing'}`)
    }
    for (const url of urls) {
      const target = posix.join(posix.dirname(path), url)
      if (!target.startsWith('src/') && !BESIDE_SRC.test(target))
        wrong.push(`${path} reads ${target}, which is not published`)
      // tsc rewrites the extensions of imports, not of URLs.
      if (url.endsWith('.ts'))
        wrong.push(`${path} names ${url} in a URL, which has another extension in dist`)
    }
  }
  return wrong
}

/** An oracle that reads src would repeat its mistakes: none does, nor anything that an oracle imports. */
export function oracles(files: readonly File[]) {
  const texts = new Map(files.map(({ path, text }) => [path, text]))
  const reached = new Map(
    files.filter(({ path }) => path.startsWith('test/oracle/')).map(f => [f.path, f.path]),
  )
  const wrong: string[] = []
  // A map goes on to what is added while it is walked.
  for (const [path, oracle] of reached) {
    const { modules, urls } = imports(texts.get(path) ?? '')
    for (const named of [...modules, ...urls]) {
      if (!named.startsWith('.')) continue
      const target = posix.join(posix.dirname(path), named)
      if (target.startsWith('src/'))
        wrong.push(`${oracle} sees ${target}${path === oracle ? '' : ` through ${path}`}`)
      else if (isCode(target) && !reached.has(target)) reached.set(target, oracle)
    }
  }
  return wrong
}

const sees = (allowed: string, target: string) => target === allowed || target.startsWith(`${allowed}/`)

export function purposeLines(files: readonly File[]) {
  return files
    .filter(({ path }) => isCode(path))
    .filter(({ text }) => {
      const [first, second = ''] = text.split('\n', 2)
      return !/^\/\/! [A-Z`'\d].{14,}[.!?:]$/.test(first.startsWith('#!') ? second : first)
    })
    .map(({ path }) => `${path} does not begin with //! and its purpose in a sentence`)
}

/** Time and chance come from World, so that a test can own them. */
export function worldOnly(files: readonly File[]) {
  const forbidden =
    /(?<![.\w])(?:setTimeout|setInterval)\(|\b(?:Date\.now|performance\.now|process\.hrtime|Math\.random)\b|\bnew Date\(\)|node:timers/g
  const own = ['src/base/world.ts', 'src/main.ts']
  return files
    .filter(({ path }) => isSource(path) && !own.includes(path))
    .flatMap(({ path, text }) =>
      [...code(text).matchAll(forbidden)].map(
        ([found]) => `${path} uses ${found.replace('(', '')}; it comes from World`,
      ),
    )
}

/** The longest a file may be without saying why. */
export const LONGEST = 350

export interface Long {
  /** The file may shrink, not grow past this. */
  readonly most: number
  readonly why: string
}

export function lengths(files: readonly File[], long: Record<string, Long>) {
  const wrong: string[] = []
  for (const { path, text } of files) {
    if (!isCode(path)) continue
    const lines = text.trimEnd().split('\n').length
    const most = long[path]?.most ?? LONGEST
    if (lines > most) wrong.push(`${path} has ${lines} lines; at most ${most}`)
    if (path in long && lines <= LONGEST) wrong.push(`${path} is no longer long; take it from the list`)
  }
  for (const path of Object.keys(long)) {
    if (!files.some(file => file.path === path)) wrong.push(`${path} is listed as long and does not exist`)
    if (long[path].why.length < 20) wrong.push(`${path} is listed as long without a reason`)
  }
  return wrong
}

export function names(files: readonly File[]) {
  return files
    .filter(({ path }) => isSource(path))
    .flatMap(({ path, text }) =>
      [...code(text).matchAll(/\b(?:class|interface|type|enum|namespace)\s+([A-Z]\w*)/g)]
        .map(match => match[1])
        .filter(name => /(Manager|Helper|Utils?|Service|Impl)$/.test(name) || /^I[A-Z][a-z]/.test(name))
        .map(name => `${path} declares ${name}; a name says what a thing is`),
    )
}

/** Neither where packages come from nor whose machine it was. */
export function hosts(files: readonly File[]) {
  const registry = /\bregistry\.(npmjs|yarnpkg)\.\w+|\bnpm\.pkg\.github\.com|^\s*(@[\w-]+:)?registry\s*=/m
  const machine = /(?<![\w.~$}/:-])\/(work|root|Users|home\/(?!node\b))[/\w]/
  return files.flatMap(({ path, text }) => [
    ...(registry.test(text) ? [`${path} names a package registry`] : []),
    ...(machine.test(text) ? [`${path} names a path of somebody's machine`] : []),
  ])
}

export function focused(files: readonly File[]) {
  return files
    .filter(({ path, text }) => path.startsWith('test/') && /\b(test|it|describe)\.only\(/.test(code(text)))
    .map(({ path }) => `${path} runs only one of its tests`)
}

const SET_UP = 'node deploy/runtime/setup.mjs'

/** Every script is preceded by the set-up, so that each works as the first command on a fresh clone. */
export function preScripts(scripts: Record<string, string>) {
  const wrong: string[] = []
  for (const [name, command] of Object.entries(scripts)) {
    const before = name.startsWith('pre') && name.slice(3) in scripts
    if (before) {
      if (command !== SET_UP) wrong.push(`${name} is not the set-up`)
    } else if (name === 'prepack') {
      // npm calls it on its own, without a script before it.
      if (!/^npm run \S+$/.test(command)) wrong.push('prepack does not go through a script with the set-up')
    } else if (!(`pre${name}` in scripts)) wrong.push(`${name} has no pre${name} that sets up`)
  }
  return wrong
}

export function exactVersions(versions: Record<string, string>) {
  return Object.entries(versions)
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version) && version !== 'file:deploy/runtime')
    .map(([name, version]) => `${name} is ${version}, not one exact version`)
}

export interface LockEntry {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly license?: string
  readonly hasInstallScript?: boolean
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

/** Its one script prints advice about versions. Everything is installed with --ignore-scripts. */
const SCRIPTS_IGNORED = ['node_modules/@grpc/proto-loader/node_modules/protobufjs']
const LICENCES = /^(MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0)$/

export function lockFile(lock: Record<string, LockEntry>) {
  const wrong: string[] = []
  const held = new Set(Object.keys(lock).map(path => path.replace(/^.*node_modules\//, '')))
  for (const [path, entry] of Object.entries(lock)) {
    // `npm install` drops optional packages that it could not resolve, and `npm ci` then refuses the file.
    for (const name of Object.keys(entry.optionalDependencies ?? {}))
      if (!held.has(name)) wrong.push(`${path || 'the project'} wants ${name}, which the lock file lacks`)
    if (/^\w+:/.test(entry.resolved ?? '')) wrong.push(`${path} says where it came from`)
    if (!path.includes('node_modules/') || entry.link) continue
    if (!entry.integrity) wrong.push(`${path} has no digest`)
    if (entry.hasInstallScript && !SCRIPTS_IGNORED.includes(path))
      wrong.push(`${path} has an install script, which is not run`)
    if (!entry.dev && !LICENCES.test(entry.license ?? ''))
      wrong.push(`${path} has the licence ${entry.license}`)
  }
  return wrong
}
