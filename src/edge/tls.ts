//! Certificates and keys of a listener, read from the files that the configuration names.
import type { TlsOptions } from 'node:tls'
import type { World } from '../base/world.ts'

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
  /** Where it is given, a client must show a certificate that it has signed. */
  readonly clientCaFile?: string
}

/** Rejects with a sentence that names the file which is missing or cannot be read. */
export async function loadTls(files: TlsFiles, world: World): Promise<TlsOptions> {
  const [cert, key, ca] = await Promise.all([
    read(world, 'cert_file', files.certFile),
    read(world, 'key_file', files.keyFile),
    files.clientCaFile === undefined ? null : read(world, 'client_ca_file', files.clientCaFile),
  ])
  const mutual = ca === null ? {} : { ca, requestCert: true, rejectUnauthorized: true }
  return { cert, key, minVersion: 'TLSv1.2', ...mutual }
}

async function read(world: World, setting: string, path: string): Promise<Buffer> {
  const bytes = await world.disk.read(path).catch((cause: unknown) => {
    throw new Error(`${setting}: ${path} cannot be read`, { cause })
  })
  if (bytes === null) throw new Error(`${setting}: ${path} does not exist`)
  return Buffer.from(bytes)
}
