//! Follows the files of the configuration by reading them again and again, and tells when they have changed.
import type { Cancel, World } from '../base/world.ts'

/**
 * By content and not by notice of the system: that works for a file that an editor replaces, for a mounted one, and for a
 * ConfigMap, which is a link to a link. Reading some kilobytes a second costs nothing.
 */
const POLL_MS = 1000

/** `changed` is called once what is in the files is other than before and has stayed the same for POLL_MS: nobody writes any more. */
export async function watchFiles(
  paths: readonly string[],
  world: Pick<World, 'after'> & { readonly disk: Pick<World['disk'], 'read'> },
  changed: () => void,
): Promise<Cancel> {
  let known = await contents()
  let settling: string | null = null
  let stopped = false
  let cancel = world.after(POLL_MS, poll)

  async function contents(): Promise<string> {
    const texts: (string | null)[] = []
    for (const path of paths) {
      const bytes = await world.disk.read(path).catch(() => null)
      texts.push(bytes === null ? null : Buffer.from(bytes).toString('latin1'))
    }
    return JSON.stringify(texts)
  }

  async function poll() {
    const now = await contents()
    if (stopped) return
    if (now !== known && now === settling) {
      known = now
      settling = null
      changed()
    } else settling = now === known ? null : now
    cancel = world.after(POLL_MS, poll)
  }

  return () => {
    stopped = true
    cancel()
  }
}
