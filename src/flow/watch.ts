//! Tells when a destination stops taking requests and when it begins again, and keeps a bug in its exporter from costing more than the request.
import { Failure } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Exporter } from './sink.ts'

/** While `isClosing` nothing is said: the end of the queue tells what it has cost. */
export function watch(exporter: Exporter, log: Log, isClosing: () => boolean): Exporter {
  const { id } = exporter
  let away = false
  return {
    id,
    async export(request) {
      try {
        const answer = await exporter.export(request)
        if (!isClosing() && away !== (answer.kind === 'busy')) {
          away = answer.kind === 'busy'
          if (answer.kind === 'busy') {
            const fields = { exporter: id, cause: answer.cause.message }
            log.warn(fields, 'the destination is away or busy; what is for it waits')
          } else log.info({ exporter: id }, 'the destination answers again')
        }
        return answer
      } catch (error) {
        // A bug in an exporter costs the request, not the service.
        log.error({ exporter: id, error }, 'the exporter failed on a request')
        return { kind: 'refused', cause: new Failure('OTLIER_INTERNAL', undefined, error) }
      }
    },
    close: () => exporter.close(),
  }
}
