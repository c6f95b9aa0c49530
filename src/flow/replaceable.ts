//! A destination's client that can be replaced by another while requests are under way.
import type { Exporter } from './sink.ts'

export interface Replaceable extends Exporter {
  /** What is sent from now on goes through `next`. The client before it is closed when its last request is answered. */
  replace(next: Exporter): void
}

interface Client {
  readonly exporter: Exporter
  open: number
  retired: boolean
}

/** `onFailure` hears of an old client that cannot be closed. */
export function replaceable(first: Exporter, onFailure: (error: unknown) => void): Replaceable {
  const clientOf = (exporter: Exporter): Client => ({ exporter, open: 0, retired: false })
  let current = clientOf(first)

  function closeIfDone(client: Client) {
    if (client.retired && client.open === 0) client.exporter.close().catch(onFailure)
  }
  return {
    id: first.id,
    async export(request) {
      const client = current
      client.open++
      try {
        return await client.exporter.export(request)
      } finally {
        client.open--
        closeIfDone(client)
      }
    },
    replace(next) {
      const before = current
      current = clientOf(next)
      before.retired = true
      closeIfDone(before)
    },
    close: () => current.exporter.close(),
  }
}
