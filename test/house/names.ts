//! The names of tests, read from their files: those that stand there, and what the rows of a table put at their beginning.
import { code, type File } from './rules.ts'

/** `test('a name`, `test.each(...)('a name`, and the laws of a suite, which are `name: 'a name`. One that is skipped shows nothing. */
const NAME =
  /(?:\btest(?:\.(?!skip|todo)\w+)*\(|\)\(|\bname:)\s*(?<quote>['"`])(?<name>(?:\\.|(?!\k<quote>)[^\\])*)\k<quote>/g
/** A table of which each row's first word begins a name. */
const TABLE = /\btest\.each\((?<rows>[\s\S]*?)\)\(\s*['"`]%s/g
/** The first text of a row, which is a list or that text alone. */
const ROW = /\[\s*'([^']*)'|(?<=^\s*\[[^[\]]*,\s*)'([^']*)'/g

export function namesOfTests(files: readonly File[]): string[] {
  return files.flatMap(({ text }) => {
    const bare = code(text)
    const written = [...bare.matchAll(NAME)].map(({ groups }) => groups?.['name'] ?? '')
    const tables = [...bare.matchAll(TABLE)].map(({ groups }) => groups?.['rows'] ?? '')
    const rows = tables.flatMap(table => [...table.matchAll(ROW)].map(([, first, alone]) => first ?? alone))
    return [...written, ...rows]
  })
}
