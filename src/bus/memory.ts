//! The bus within one process: a listener hears a message before `publish` returns, so a replay has one order only.
import type { Bus, Topics } from './bus.ts'

/** A bus for both planes in one thread. A listener that throws is a bug of its own and reaches `onBug`, never the publisher. */
export function memoryBus(onBug: (error: unknown) => void): Bus {
  const listeners: { [T in keyof Topics]: Set<(message: Topics[T]) => void> } = {
    summary: new Set(),
    features: new Set(),
    model: new Set(),
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
      listeners[topic].add(hear)
      return () => listeners[topic].delete(hear)
    },
    async close() {
      for (const set of Object.values(listeners)) set.clear()
    },
  }
}
