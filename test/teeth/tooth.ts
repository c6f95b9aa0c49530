//! One tooth: a guard of src, how it is switched off, and the test that must then fail.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Tooth {
  /** A row of the OTLP table, with which the test's name must then begin; or one word for a law without a row. */
  readonly row: string
  /** What the guard does. */
  readonly guard: string
  /** Where it stands, under src/. */
  readonly file: string
  /** Its text: exactly once in the file. */
  readonly on: string
  /** What stands there while it is switched off. */
  readonly off: string
  /** The file of the test, under test/. */
  readonly tests: string
  /** A part of the full name of exactly one test there. The names of its groups stand before it, with ` > ` between. */
  readonly test: string
  /** Without the guard somebody waits for ever, so that the test's own limit of time is what fails. */
  readonly hangs?: true
}

/** The teeth that bite in one file of tests. */
export const teethIn = (tests: string, teeth: readonly Omit<Tooth, 'tests'>[]): readonly Tooth[] =>
  teeth.map(tooth => ({ ...tooth, tests }))

/** The text of the tooth's file without the guard, or a sentence that says why it cannot be taken out. */
export function switchedOff({ file, on, off }: Tooth): { text: string } | { wrong: string } {
  const text = readFileSync(`${ROOT}src/${file}`, 'utf8')
  const found = text.split(on).length - 1
  if (found !== 1) return { wrong: `the guard has moved: its text stands ${found} times in src/${file}` }
  if (on === off) return { wrong: 'switched off, it is the same text' }
  return { text: text.replace(on, () => off) }
}
