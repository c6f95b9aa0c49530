//! The README's table of settings: `node test/readme.ts --write` puts it between its two marks.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { settingsTable } from '../src/commands/describe-settings.ts'

const BEGIN = '<!-- settings -->'
const END = '<!-- /settings -->'
export const README = fileURLToPath(new URL('../README.md', import.meta.url))

/** The text with the table of today between the marks. Throws where a mark is missing. */
export function withSettings(text: string): string {
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`README.md has no ${BEGIN} followed by ${END}`)
  return `${text.slice(0, begin + BEGIN.length)}\n\n${settingsTable()}\n\n${text.slice(end)}`
}

if (import.meta.main && process.argv.includes('--write')) {
  writeFileSync(README, withSettings(readFileSync(README, 'utf8')))
}
