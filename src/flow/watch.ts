//! Hears every answer of a destination, and keeps a bug in its exporter from costing more than the request.
import { Failure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Notices } from './notices.ts'
import type { Exporter } from './sink.ts'

/** While `isClosing` nothing is said: the end of the queue tells what it has cost. */
export function watch(exporter: Exporter, log: Log, notices: Notices, isClosing: () => boolean): Exporter {
  const { id } = exporter
  return {
    id,
    async export(request) {
      try {
        const answer = await exporter.export(request)
        if (!isClosing()) notices.answered(answer)
        return answer
      } catch (error) {
        // A bug in an exporter costs the request, not the service.
        log.error({ exporter: id, error }, 'the exporter failed on a request')
        return { kind: 'refused', cause: new Failure('OTLIER_INTERNAL', undefined, error) }
      }
    },
    // Nor may one that cannot be closed cost the report of what was lost.
    close: () =>
      exporter.close().catch(error => log.error({ exporter: id, error }, 'the exporter failed to close')),
  }
}
