//! Who may send: bearer tokens, and names with passwords, from files that are read again when they change.
import { hash, timingSafeEqual } from 'node:crypto'
import type { Log } from '../base/log.ts'
import type { World } from '../base/world.ts'
import { Following, type NamedFile } from './follow.ts'

/** With both, either is enough. */
export interface AuthFiles {
  /** One token a line. */
  readonly bearerTokenFile: string | null
  /** `user:password` lines. */
  readonly basicFile: string | null
}

/** Each request is held against all of them. */
const MAX_CREDENTIALS = 1000
/** b64token of RFC 6750: what a client can send. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/** Digests of everything that is let in. */
type Known = readonly Buffer[]

/** Knows who is let in. */
export class Guard {
  /** Value of WWW-Authenticate. */
  readonly challenge: string
  readonly #following: Following<Known>
  #known: Known

  private constructor(challenge: string, following: Following<Known>, known: Known) {
    this.challenge = challenge
    this.#following = following
    this.#known = known
    following.onChange = made => void (this.#known = made)
  }

  /** Null where everybody is let in. Rejects with a sentence that names the file which is missing, empty or wrong. */
  static async open(
    { bearerTokenFile, basicFile }: AuthFiles,
    around: { readonly world: World; readonly log: Log },
  ): Promise<Guard | null> {
    const sources = [
      {
        setting: 'auth.bearer_token_file',
        path: bearerTokenFile,
        read: token,
        offers: 'Bearer realm="otlier"',
      },
      {
        setting: 'auth.basic_file',
        path: basicFile,
        read: pair,
        offers: 'Basic realm="otlier", charset="UTF-8"',
      },
    ].flatMap(({ path, ...rest }) => (path === null ? [] : [{ path, ...rest }]))
    if (sources.length === 0) return null
    const make = (contents: readonly Buffer[]) =>
      sources.flatMap((source, at) => credentials(source, contents[at], source.read))
    const following = new Following<Known>(sources, make, around)
    const challenge = sources.map(({ offers }) => offers).join(', ')
    return new Guard(challenge, following, await following.open())
  }

  /**
   * Whether the value of an Authorization header is one of those that are let in. Digests of one length are compared,
   * each to its end and with all of them, so that the time it takes says nothing about any.
   */
  admits(header: string | undefined): boolean {
    const shown = header === undefined ? null : shownIn(header)
    if (shown === null) return false
    const digest = digestOf(shown)
    let matches = 0
    for (const known of this.#known) matches += Number(timingSafeEqual(known, digest))
    return matches > 0
  }

  stop(): void {
    this.#following.stop()
  }
}

const digestOf = (credential: string): Buffer => hash('sha256', credential, 'buffer')

/** A header in the form in which the files are kept, null where it has neither. */
function shownIn(header: string): string | null {
  const [, scheme, value] = /^(bearer|basic) +(\S+) *$/i.exec(header) ?? []
  if (scheme === undefined) return null
  if (scheme.toLowerCase() === 'bearer') return `bearer ${value}`
  return `basic ${Buffer.from(value, 'base64').toString()}`
}

/** One line of a file as a credential, or what is wrong with it. */
type Read = (line: string) => { readonly credential: string } | { readonly wrong: string }

const token: Read = line =>
  TOKEN.test(line.trim())
    ? { credential: `bearer ${line.trim()}` }
    : { wrong: 'is no token: those have letters, digits and ._~+/- only, and = at the end' }

const pair: Read = line =>
  /^[^:]+:./.test(line) ? { credential: `basic ${line}` } : { wrong: 'is not user:password' }

/** Empty lines and those that begin with # are passed over. Nothing of a line is quoted. */
function credentials({ setting, path }: NamedFile, content: Buffer, read: Read): Buffer[] {
  const digests: Buffer[] = []
  for (const [at, line] of content.toString().split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const found = read(line)
    if ('wrong' in found) throw new Error(`${setting}: line ${at + 1} of ${path} ${found.wrong}`)
    digests.push(digestOf(found.credential))
    if (digests.length > MAX_CREDENTIALS)
      throw new Error(`${setting}: ${path} has more than ${MAX_CREDENTIALS} lines`)
  }
  if (digests.length === 0) throw new Error(`${setting}: ${path} holds nothing: nobody would be let in`)
  return digests
}
