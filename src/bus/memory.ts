//! The bus within one process: a listener hears a message before `publish` returns, so a replay has one order only.
import type { Bus, Topics } from './bus.ts'

/** Runs what a listener of a topic does: one for each listener. What it does not run, the listener has lost. */
type Shield = (topic: keyof Topics) => (act: () => void) => void

/**
 * A bus for both planes in one thread. A listener that throws is a bug of its own and reaches `onBug`, never the publisher.
 * `shield` is asked before that: it keeps a listener that fails or takes too long from holding up the others.
 */
export function memoryBus(onBug: (error: unknown) => void, shield?: Shield): Bus {
  const listeners: { [T in keyof Topics]: Set<(message: Topics[T]) => void> } = {
    summary: new Set(),
    features: new Set(),
    model: new Set(),
    hour: new Set(),
    forgotten: new Set(),
    incident: new Set(),
    event: new Set(),
  }
  return {
    publish(topic, _key, message) {
      for (const hear of listeners[topic]) {
        try {
          hear(message)
        } catch (error) {
          onBug(error)
        }
      }
    },
    listen(topic, hear) {
      const run = shield?.(topic)
      const listener: typeof hear = run === undefined ? hear : message => run(() => hear(message))
      listeners[topic].add(listener)
      return () => listeners[topic].delete(listener)
    },
    async close() {
      for (const set of Object.values(listeners)) set.clear()
    },
  }
}
