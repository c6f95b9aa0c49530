//! Exporters over TLS: who is trusted, who is shown, and what happens when neither fits.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realWorld } from '../../../src/base/world.ts'
import { makeExporter } from '../../../src/edge/exporter.ts'
import type { ClientTls } from '../../../src/edge/tls.ts'
import { type Backend, startBackend } from '../../kit/backend.ts'
import { certificateAuthority } from '../../kit/certificates.ts'
import { recordingLog } from '../../kit/log.ts'
import { simulatedWorld } from '../../kit/world.ts'
import { ask, TRANSPORTS, type Transport } from './scene.ts'

const authority = certificateAuthority()
const stranger = certificateAuthority('A stranger')
const NO_TLS: ClientTls = {
  caFile: null,
  certFile: null,
  keyFile: null,
  insecureSkipVerify: false,
  serverNameOverride: null,
}

/** The files that settings name, in memory. */
const { disk } = simulatedWorld(1)
const client = authority.issue('client')
const unknownClient = stranger.issue('client')
for (const [path, text] of Object.entries({
  'ca.pem': authority.cert,
  'other-ca.pem': stranger.cert,
  'client.pem': client.cert,
  'client.key': client.key,
  'unknown.pem': unknownClient.cert,
  'unknown.key': unknownClient.key,
  'junk.pem': 'no certificate',
}))
  disk.files.set(path, Buffer.from(text))

let byAddress: Backend
let byName: Backend
let mutual: Backend
let expired: Backend
beforeAll(async () => {
  byAddress = await startBackend({ tls: authority.issue('127.0.0.1') })
  byName = await startBackend({ tls: authority.issue('backend.example') })
  mutual = await startBackend({ tls: { ...authority.issue('127.0.0.1'), clientCa: authority.cert } })
  expired = await startBackend({ tls: authority.issue('127.0.0.1', { fromMs: 0, toMs: 86_400_000 }) })
})
afterAll(() => Promise.all([byAddress.stop(), byName.stop(), mutual.stop(), expired.stop()]))

function through(type: Transport, backend: Backend, tls: Partial<ClientTls>, host = '127.0.0.1') {
  const { log, lines } = recordingLog()
  const port = type === 'otlp' ? backend.grpcPort : backend.httpPort
  const url = `https://${host}:${port}`
  const settings = {
    type,
    id: `${type}/tls`,
    endpoint: { url, scheme: 'https', host, port },
    plain: false,
    headers: {},
    compression: 'gzip',
    timeoutMs: 3000,
    tls: { ...NO_TLS, ...tls },
    encoding: 'proto',
    exact: false,
  } as const
  const exporter = makeExporter(settings, {
    instanceId: 'i',
    version: '0',
    world: { ...realWorld, disk },
    log,
  })
  return { exporter, lines }
}

async function answer(type: Transport, backend: Backend, tls: Partial<ClientTls>, host?: string) {
  const { exporter } = through(type, backend, tls, host)
  const { kind } = await ask(exporter)
  await exporter.close()
  return kind
}

describe.each(TRANSPORTS)('%s over TLS', type => {
  test('a backend whose certificate the given authority has signed is trusted', async () => {
    expect(await answer(type, byAddress, { caFile: 'ca.pem' })).toBe('delivered')
  })

  test('C10 a certificate of another authority, for another name, or of another time is a failure to connect', async () => {
    expect(await answer(type, byAddress, { caFile: 'other-ca.pem' })).toBe('busy')
    expect(await answer(type, byAddress, {})).toBe('busy')
    expect(await answer(type, byName, { caFile: 'ca.pem' })).toBe('busy')
    expect(await answer(type, expired, { caFile: 'ca.pem' })).toBe('busy')
  })

  test('server_name_override says which name to expect', async () => {
    expect(await answer(type, byName, { caFile: 'ca.pem', serverNameOverride: 'backend.example' })).toBe(
      'delivered',
    )
    expect(await answer(type, byName, { caFile: 'ca.pem', serverNameOverride: 'other.example' })).toBe('busy')
  })

  test('insecure_skip_verify takes any certificate', async () => {
    expect(await answer(type, byName, { insecureSkipVerify: true })).toBe('delivered')
    expect(await answer(type, expired, { insecureSkipVerify: true })).toBe('delivered')
  })

  test('a backend that asks for a certificate gets the one of the settings', async () => {
    expect(
      await answer(type, mutual, { caFile: 'ca.pem', certFile: 'client.pem', keyFile: 'client.key' }),
    ).toBe('delivered')
    expect(await answer(type, mutual, { caFile: 'ca.pem' })).toBe('busy')
    expect(
      await answer(type, mutual, { caFile: 'ca.pem', certFile: 'unknown.pem', keyFile: 'unknown.key' }),
    ).toBe('busy')
  })

  test('a backend is known by its name, too', async () => {
    const named = await startBackend({ tls: authority.issue('localhost') })
    expect(await answer(type, named, { caFile: 'ca.pem' }, 'localhost')).toBe('delivered')
    expect(await answer(type, named, { caFile: 'ca.pem' })).toBe('busy')
    await named.stop()
  })

  test('a file that is missing or no certificate is told at once, and found when it comes', async () => {
    disk.files.delete('later.pem')
    const cases = [
      { tls: { caFile: 'later.pem' }, why: /tls\.ca_file: later\.pem does not exist/ },
      { tls: { certFile: 'junk.pem', keyFile: 'client.key' }, why: /PEM/ },
    ]
    for (const { tls, why } of cases) {
      const { exporter, lines } = through(type, byAddress, tls)
      expect(await ask(exporter)).toMatchObject({
        kind: 'busy',
        cause: { code: 'OTLIER_UNREACHABLE', message: expect.stringMatching(why) },
      })
      expect(lines[0]).toMatchObject({ level: 'error', message: 'the exporter cannot start yet' })
      if (tls.caFile === 'later.pem') {
        disk.files.set('later.pem', Buffer.from(authority.cert))
        expect((await ask(exporter)).kind).toBe('delivered')
      }
      await exporter.close()
    }
  })
})
