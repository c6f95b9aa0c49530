//! Google's C-core gRPC by Debian's python3-grpcio, with messages that grpc_tools.protoc makes from the project's proto/.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Signal } from '../../src/flow/sink.ts'
import { begin, run } from './programs.ts'
import type { Sent } from './sdk-client.ts'

// Debian's modules belong to Debian's interpreter, not to the one that comes first in PATH.
const PYTHON = '/usr/bin/python3'
const PROGRAMS = fileURLToPath(new URL('../interop/python/', import.meta.url))
const PROTO = fileURLToPath(new URL('../../proto/', import.meta.url))

export interface Python {
  /** Runs test/interop/python/client.py against `127.0.0.1:port`. */
  client(port: number, compression: 'none' | 'gzip', phase: 'normal' | 'slow', service: string): Promise<Sent>
  backend(compression: 'none' | 'gzip', signals: 'all' | 'traces'): Promise<PythonBackend>
  remove(): Promise<void>
}

export interface PythonBackend {
  readonly port: number
  /** What has arrived so far, as the official runtime writes it again. */
  requests(): { readonly signal: Signal; readonly bytes: Uint8Array }[]
  stop(): Promise<void>
}

/** The programs ready to run, or why they cannot. */
export async function startPython(): Promise<Python | string> {
  const probe = await run(PYTHON, ['-c', 'import grpc, grpc_tools, google.protobuf'])
  if (probe.status !== 0)
    return `${PYTHON} lacks gRPC (Debian: apt-get install python3-grpcio python3-grpc-tools python3-protobuf)`
  const folder = await mkdtemp(join(tmpdir(), 'otlier-python-'))
  const messages = join(folder, 'messages')
  await compile(join(folder, 'proto'), messages)
  return {
    async client(port, compression, phase, service) {
      const args = [join(PROGRAMS, 'client.py'), messages, `127.0.0.1:${port}`, compression, phase, service]
      const { status, stdout, stderr } = await run(PYTHON, args)
      if (status !== 0) throw new Error(`client.py ended with ${status}: ${stderr}`)
      return JSON.parse(stdout) as Sent
    },
    backend: (compression, signals) => startBackend(messages, compression, signals),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function compile(sources: string, messages: string): Promise<void> {
  await cp(PROTO, sources, { recursive: true })
  await mkdir(messages)
  const all = await readdir(sources, { recursive: true })
  const files = all.filter(name => name.endsWith('.proto') && name.startsWith('opentelemetry'))
  for (const name of files) {
    // Debian's grpc_tools speaks protoc 3.5, from before `optional` came back. On the wire it changes nothing.
    const text = await readFile(join(sources, name), 'utf8')
    await writeFile(join(sources, name), text.replace(/^(\s*)optional /gm, '$1'))
  }
  const options = ['-I', sources, `--python_out=${messages}`, `--grpc_python_out=${messages}`]
  const { status, stderr } = await run(PYTHON, ['-m', 'grpc_tools.protoc', ...options, ...files])
  if (status !== 0) throw new Error(`grpc_tools.protoc ended with ${status}: ${stderr}`)
}

async function startBackend(
  messages: string,
  compression: 'none' | 'gzip',
  signals: 'all' | 'traces',
): Promise<PythonBackend> {
  const program = begin(PYTHON, [join(PROGRAMS, 'backend.py'), messages, compression, signals])
  const { port } = JSON.parse(await program.line(/"port"/)) as { port: number }
  return {
    port,
    requests: () => {
      const whole = program.stdout().split('\n').slice(1, -1)
      return whole.map(line => {
        const { signal, body } = JSON.parse(line) as { signal: Signal; body: string }
        return { signal, bytes: Buffer.from(body, 'base64') }
      })
    },
    async stop() {
      program.child.stdin.end()
      await program.ended
    },
  }
}
