//! What a few small files hold, looked at every ten seconds, so that certificates and tokens are replaced without a restart.
import type { Log } from '../base/log.ts'
import type { Cancel, World } from '../base/world.ts'

export interface NamedFile {
  /** As the settings call it, below the section that is being read: `tls.cert_file`. */
  readonly setting: string
  readonly path: string
}

const LOOK_MS = 10_000
/** Certificates and lists of tokens are small; a larger file is a wrong path. */
const MAX_FILE_BYTES = 2 ** 20

/** Files, and what is made of them. Until the first `open` has succeeded nothing is followed. */
export class Following<T> {
  /** Told of everything made after the first. */
  onChange: (made: T) => void = () => {}
  readonly #files: readonly NamedFile[]
  readonly #make: (contents: readonly Buffer[]) => T
  readonly #world: World
  readonly #log: Log
  /** What is in force; what it was made of. */
  #made: T | null = null
  #contents: readonly Buffer[] = []
  /** What was wrong at the last look, and whether it has been told. */
  #trouble = ''
  #isTold = false
  #cancel: Cancel = () => {}
  #isStopped = false

  /** @param make throws a sentence that quotes nothing of the contents: they are secrets */
  constructor(
    files: readonly NamedFile[],
    make: (contents: readonly Buffer[]) => T,
    { world, log }: { readonly world: World; readonly log: Log },
  ) {
    this.#files = files
    this.#make = make
    this.#world = world
    this.#log = log
  }

  /** What is in force. Rejects with a sentence that names the setting and the file. */
  async open(): Promise<T> {
    if (this.#made !== null) return this.#made
    const contents = await this.#read()
    const made = this.#make(contents)
    this.#made = made
    this.#contents = contents
    this.#lookLater()
    return made
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }

  #lookLater(): void {
    if (!this.#isStopped) this.#cancel = this.#world.after(LOOK_MS, () => void this.#look())
  }

  async #look(): Promise<void> {
    try {
      const contents = await this.#read()
      const isSame = contents.every((bytes, at) => bytes.equals(this.#contents[at]))
      if (!isSame && !this.#isStopped) {
        const made = this.#make(contents)
        this.#made = made
        this.#contents = contents
        this.onChange(made)
        this.#log.info({ files: this.#paths() }, 'files have changed: from now on what they hold is used')
      }
      this.#trouble = ''
      this.#isTold = false
    } catch (error) {
      this.#complain((error as Error).message)
    }
    this.#lookLater()
  }

  /** Told at the second look with the same trouble: while a pair of files is being replaced it does not fit for a moment. */
  #complain(trouble: string): void {
    if (trouble !== this.#trouble) {
      this.#trouble = trouble
      this.#isTold = false
    } else if (!this.#isTold) {
      this.#isTold = true
      const fields = { files: this.#paths(), cause: trouble }
      this.#log.error(fields, 'files have changed and cannot be used: what they held before stays in use')
    }
  }

  #paths = () => this.#files.map(({ path }) => path)

  #read(): Promise<Buffer[]> {
    return Promise.all(this.#files.map(file => this.#readOne(file)))
  }

  async #readOne({ setting, path }: NamedFile): Promise<Buffer> {
    const bytes = await this.#world.disk.read(path).catch((cause: unknown) => {
      throw new Error(`${setting}: ${path} cannot be read`, { cause })
    })
    if (bytes === null) throw new Error(`${setting}: ${path} does not exist`)
    if (bytes.length > MAX_FILE_BYTES)
      throw new Error(`${setting}: ${path} is larger than ${MAX_FILE_BYTES} bytes`)
    return Buffer.from(bytes)
  }
}
