//! The labels of a service and of a series in Otlier's own metrics: the same in both planes.
import type { Labels } from '../base/counters.ts'
import type { SeriesKey } from './bus.ts'

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

/** A service, with its namespace and environment where it has them. */
export const serviceLabels = (service: string, namespace: string, environment: string): Labels => ({
  'service.name': service,
  ...(namespace === '' ? {} : { 'service.namespace': namespace }),
  ...(environment === '' ? {} : { 'deployment.environment.name': environment }),
})

export const seriesLabels = ({ service, namespace, environment, operation, kind }: SeriesKey): Labels => ({
  ...serviceLabels(service, namespace, environment),
  operation,
  kind: KINDS[kind] ?? KINDS[0],
})
