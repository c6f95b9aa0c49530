//! Certificates and keys of listeners and of clients, read from the files that the configuration names, and again when they change.
import { constants, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { Following, type NamedFile } from './follow.ts'

/** Files of a listener, in PEM. */
export interface ServerTls {
  /** Null: no TLS. */
  readonly certFile: string | null
  readonly keyFile: string | null
  /** Where it is given, a client must show a certificate that one of these has signed. */
  readonly clientCaFile?: string | null
}

/** Files of a client, in PEM; null means those of the system, or none. */
export interface ClientTls {
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
  readonly insecureSkipVerify: boolean
  readonly serverNameOverride: string | null
}

interface Around {
  readonly world: World
  readonly log: Log
}

/** Null where the settings name no certificate. What is made serves `createServer` and `setSecureContext`. */
export function serverTls(
  { certFile, keyFile, clientCaFile = null }: ServerTls,
  around: Around,
): Following<TlsOptions> | null {
  if (certFile === null || keyFile === null) return null
  const files = named({ cert_file: certFile, key_file: keyFile, client_ca_file: clientCaFile })
  return new Following<TlsOptions>(
    files,
    ([cert, key, ca]) => {
      // A session that is resumed is not checked again: with client certificates, none is.
      const mutual =
        ca === undefined
          ? {}
          : { ca, requestCert: true, rejectUnauthorized: true, secureOptions: constants.SSL_OP_NO_TICKET }
      const options = { cert, key, minVersion: 'TLSv1.2', ...mutual } as const
      secured(files, [cert, key, ca], options)
      return options
    },
    around,
  )
}

/** What a client connects with. */
export function clientTls(
  { caFile, certFile, keyFile }: ClientTls,
  around: Around,
): Following<SecureContext> {
  const isPair = certFile !== null && keyFile !== null
  const files = named({
    ca_file: caFile,
    cert_file: isPair ? certFile : null,
    key_file: isPair ? keyFile : null,
  })
  const make = (contents: readonly Buffer[]) => {
    const [ca, cert, key] = caFile === null ? [undefined, ...contents] : contents
    return secured(files, contents, {
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert, key }),
    })
  }
  return new Following(files, make, around)
}

const named = (paths: Readonly<Record<string, string | null>>): NamedFile[] =>
  Object.entries(paths).flatMap(([setting, path]) =>
    path === null ? [] : [{ setting: `tls.${setting}`, path }],
  )

/** Throws a sentence where the files do not hold what they should, or do not fit each other. */
function secured(
  files: readonly NamedFile[],
  contents: readonly (Buffer | undefined)[],
  options: TlsOptions,
): SecureContext {
  files.forEach(({ setting, path }, at) => {
    // Node takes a file of authorities without any in it, and then trusts nobody.
    if (!setting.endsWith('key_file') && !holdsCertificates(contents[at]))
      throw new Error(`${setting}: ${path} holds no certificate in PEM that can be read`)
  })
  try {
    return createSecureContext(options)
  } catch (error) {
    const paths = files.map(({ path }) => path).join(', ')
    throw new Error(`tls: ${paths} cannot be used: ${(error as Error).message}`)
  }
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g

function holdsCertificates(pem: Buffer | undefined): boolean {
  const found = pem?.toString('latin1').match(CERTIFICATE) ?? []
  try {
    for (const one of found) new X509Certificate(one)
    return found.length > 0
  } catch {
    return false
  }
}
