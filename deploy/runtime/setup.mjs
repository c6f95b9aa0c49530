//! Pre-script of every npm script: installs once what the lock file says, then makes `node` the pinned Node. Plain JavaScript for any Node from 20 on.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.resolve(here, '../..')
const modules = path.join(root, 'node_modules')
const nodeLink = path.join(modules, '.bin', 'node')
const stampFile = path.join(modules, '.otlier-setup')
// Beside this file, not in node_modules: `npm ci` begins by deleting that.
const lockFile = path.join(here, '.setup.lock')
const platform = `${process.platform}-${process.arch}`

const read = file => fs.readFileSync(file, 'utf8')
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const say = text => console.error(`otlier: ${text}`)

/** What an installation was made from. The kind says whose Node it ended with. */
const stamp = kind => {
  const hash = createHash('sha256').update(platform)
  for (const file of [path.join(root, 'package-lock.json'), path.join(here, 'package.json')])
    hash.update(read(file))
  return `${hash.digest('hex')} ${kind}`
}

/** Only the stamp, written last, is proof: npm's own record exists before the links do, and a Ctrl-C may fall between. */
function installed() {
  let found = ''
  try {
    found = read(stampFile)
  } catch {
    return false
  }
  return found === stamp('system') || (found === stamp('pinned') && fs.existsSync(nodeLink))
}

/** A process as `id@start`: ids come round again, with the time of the start they do not. Null when there is none. */
function identify(pid) {
  if (process.platform === 'linux') {
    try {
      const stat = read(`/proc/${pid}/stat`)
      const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return state === 'Z' ? null : `${pid}@${rest[18]}`
    } catch {
      return null
    }
  }
  const started = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim()
  return started ? `${pid}@${started.replaceAll(/\s+/g, '-')}` : null
}

const alive = holder => identify(holder.split('@')[0]) === holder

/** The lock's holders; null where there is no lock, empty while one is being written. */
function holders() {
  try {
    return read(lockFile)
  } catch (error) {
    if (error.code === 'ENOENT') return null
    throw error
  }
}

/** A lock without a living holder is moved aside, looked at again and deleted. Moving is atomic: of two waiters one gets it. */
function breakLock(seen) {
  const aside = `${lockFile}.${process.pid}`
  try {
    fs.renameSync(lockFile, aside)
  } catch {
    return
  }
  if (read(aside) === seen) fs.rmSync(aside, { force: true })
  else fs.renameSync(aside, lockFile)
}

/** One installer at a time: two `npm ci` in one folder delete each other's files. */
async function acquire() {
  for (let told = false, emptySince = 0; ; ) {
    try {
      fs.writeFileSync(lockFile, identify(process.pid), { flag: 'wx' })
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const held = holders()
    if (held === null) continue
    if (held !== '') emptySince = 0
    else emptySince ||= performance.now()
    const dead = held === '' ? performance.now() - emptySince > 2_000 : !held.split(' ').some(alive)
    if (dead) {
      breakLock(held)
      continue
    }
    if (!told && held !== '') say(`another set-up is running (process ${held.split('@')[0]}); waiting for it`)
    told ||= held !== ''
    await sleep(200)
  }
}

function release() {
  if (holders()?.startsWith(identify(process.pid))) fs.rmSync(lockFile, { force: true })
}

/** Runs `npm ci` and resolves to its exit code, or to 128 + signal where one stopped it. */
function install() {
  // By npm's own Node and the npm that was called. What NODE_ENV or a user's settings would leave out is asked for by name.
  const args = ['ci', '--include=dev', '--include=optional', '--ignore-scripts', '--engine-strict=false']
  args.push(
    '--install-strategy=hoisted',
    '--install-links=false',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  )
  const npm = process.env.npm_execpath ?? ''
  const byPath = /np[mx]-cli\.js$/.test(npm)
  const command = byPath ? (process.env.npm_node_execpath ?? process.execPath) : 'npm'
  const options = { cwd: root, stdio: ['ignore', 2, 2] }
  const child = spawn(command, byPath ? [npm, ...args] : args, options)
  // npm can outlive this process, and this process links and stamps when npm has ended: the lock is held while either lives.
  if (child.pid) fs.writeFileSync(lockFile, `${identify(process.pid)} ${identify(child.pid) ?? ''}`.trim())
  let stopped = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => {
      if (!stopped) setTimeout(() => child.kill('SIGKILL'), 5_000).unref()
      stopped ||= 128 + os.constants.signals[signal]
      child.kill(signal)
    })
  return new Promise(resolve => {
    child.on('error', error => {
      say(`npm could not be started: ${error.message}`)
      resolve(1)
    })
    child.on('exit', (code, signal) => resolve(stopped || (code ?? 128 + os.constants.signals[signal])))
  })
}

/** Links the pinned Node that runs here. npm 11 has made this link; npm 9 and 10 lose it; on musl it leads to what cannot run. */
function linkNode() {
  const { optionalDependencies } = JSON.parse(read(path.join(here, 'package.json')))
  fs.rmSync(nodeLink, { force: true })
  for (const name of Object.keys(optionalDependencies)) {
    const binary = path.join(modules, name, 'bin', 'node')
    if (!fs.existsSync(binary) || spawnSync(binary, ['--version']).status !== 0) continue
    fs.mkdirSync(path.dirname(nodeLink), { recursive: true })
    fs.symlinkSync(path.relative(path.dirname(nodeLink), binary), nodeLink)
    return 'pinned'
  }
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major >= 26 || (major === 24 && minor >= 15) ? 'system' : null
}

async function setUp() {
  say('installing dependencies (once)')
  const result = await install()
  if (result !== 0) {
    say(result > 128 ? 'set-up stopped; the next command begins it again' : `npm ci ended with ${result}`)
    return result
  }
  const kind = linkNode()
  if (kind === null) {
    say(`no Node comes with Otlier for ${platform}: install Node 26, or 24.15 or later, and start again`)
    return 1
  }
  fs.writeFileSync(stampFile, stamp(kind))
  return 0
}

if (process.platform === 'win32') {
  say('on Windows, run Otlier inside WSL')
  process.exitCode = 1
} else if (!installed()) {
  await acquire()
  try {
    if (!installed()) process.exitCode = await setUp()
  } finally {
    release()
  }
}
