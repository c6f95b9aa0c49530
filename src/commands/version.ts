//! Which Otlier this is, and on what it runs.
import { createRequire } from 'node:module'

/** The version of the package, the same from src/ and from dist/. */
export const VERSION: string = createRequire(import.meta.url)('../../package.json').version

export async function version(): Promise<number> {
  console.log(`otlier ${VERSION} (node ${process.version}, ${process.platform} ${process.arch})`)
  return 0
}
