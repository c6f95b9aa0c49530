//! Makes a clean clone of the working tree: what is or would be committed, and nothing that has been installed.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const project = fileURLToPath(new URL('../..', import.meta.url))

export const filesOf = (folder: string) =>
  execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], { cwd: folder, encoding: 'utf8' })
    .split('\0')
    .filter(path => path !== '' && existsSync(join(folder, path)))

export function cleanClone(): string {
  const folder = mkdtempSync(join(tmpdir(), 'otlier-clone-'))
  // As a checkout is: a test runs the service as somebody else.
  chmodSync(folder, 0o755)
  for (const path of filesOf(project)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    cpSync(join(project, path), join(folder, path))
  }
  execFileSync('git', ['init', '-q'], { cwd: folder })
  return folder
}
