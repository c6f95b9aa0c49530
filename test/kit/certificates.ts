//! Certificates made on the spot: an authority, and what it signs. No key ever lies in the repository.
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** In PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Authority extends Certificate {
  /** For a DNS name or an IPv4 address; by default one that is valid now. */
  issue(name: string, validity?: { readonly fromMs: number; readonly toMs: number }): Certificate
}

const DAY_MS = 86_400_000

export function certificateAuthority(name = 'Test authority'): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const validity = { fromMs: Date.now() - DAY_MS, toMs: Date.now() + DAY_MS }
  const signer = { name, key: keys.privateKey }
  const own = certificate(signer, name, keys.publicKey, validity, [
    extension('2.5.29.19', der(0x30, der(0x01, Buffer.of(0xff))), true),
    extension('2.5.29.15', der(0x03, Buffer.of(1, 0b0000_0110)), true),
  ])
  return {
    cert: own,
    key: pemKey(keys.privateKey),
    issue(subject, times = validity) {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const address = /^\d+\.\d+\.\d+\.\d+$/.test(subject)
      const alternative = address
        ? der(0x87, Buffer.from(subject.split('.').map(Number)))
        : der(0x82, Buffer.from(subject))
      return {
        cert: certificate(signer, subject, pair.publicKey, times, [
          extension('2.5.29.17', der(0x30, alternative)),
        ]),
        key: pemKey(pair.privateKey),
      }
    },
  }
}

const ECDSA_SHA256 = der(0x30, oid('1.2.840.10045.4.3.2'))
let serial = Date.now()

function certificate(
  signer: { readonly name: string; readonly key: KeyObject },
  subject: string,
  publicKey: KeyObject,
  validity: { readonly fromMs: number; readonly toMs: number },
  extensions: readonly Buffer[],
): string {
  serial++
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.from(serial.toString(16).padStart(12, '0'), 'hex')),
    ECDSA_SHA256,
    commonName(signer.name),
    der(0x30, time(validity.fromMs), time(validity.toMs)),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, ...extensions)),
  )
  const signature = sign(
    'sha256',
    body,
    createPrivateKey(signer.key.export({ type: 'pkcs8', format: 'pem' })),
  )
  const whole = der(0x30, body, ECDSA_SHA256, der(0x03, Buffer.of(0), signature))
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

const pemKey = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string

const commonName = (name: string) =>
  der(0x30, der(0x31, der(0x30, oid('2.5.4.3'), der(0x0c, Buffer.from(name)))))

const extension = (id: string, value: Buffer, critical = false) =>
  der(0x30, oid(id), ...(critical ? [der(0x01, Buffer.of(0xff))] : []), der(0x04, value))

const time = (ms: number) => der(0x18, Buffer.from(new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')))

/** One value in DER: its tag, its length, and what is in it. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content])
  const hex = content.length.toString(16)
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content])
}

function oid(text: string): Buffer {
  const [first, second, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const number of rest) {
    const groups = [number & 0x7f]
    for (let left = number >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return der(0x06, Buffer.from(bytes))
}
