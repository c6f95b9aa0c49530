//! One span, one log record and one metric of each kind that fill every field the official SDK can express.
import { type Attributes, createTraceState, type HrTime, SpanKind, ValueType } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs'
import { AggregationTemporality, DataPointType, type ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'

const time = (nanoseconds: number): HrTime => [1_700_000_000, nanoseconds]
const attributes = {
  text: 'é',
  yes: true,
  no: false,
  int: -42,
  big: Number.MAX_SAFE_INTEGER,
  double: 0.5,
  list: ['a', 1, 1.5, true],
  map: { inner: { deep: 'x' } },
  bytes: new Uint8Array([0, 255, 128]),
} as unknown as Attributes
const resource = resourceFromAttributes(attributes, { schemaUrl: 'https://example.test/resource' })
const instrumentationScope = {
  name: 'scope',
  version: '1.2.3',
  schemaUrl: 'https://example.test/scope',
  attributes,
  droppedAttributesCount: 3,
}
const context = (last: string) => ({
  traceId: `0123456789abcdef0123456789abcd${last}`,
  spanId: `fedcba98765432${last}`,
  traceFlags: 1,
  isRemote: true,
  traceState: createTraceState('ot=th:8,a=b'),
})

export const spans = [
  {
    name: 'GET /cart',
    kind: SpanKind.CLIENT,
    spanContext: () => context('01'),
    parentSpanContext: context('02'),
    startTime: time(1),
    endTime: time(999_999_999),
    duration: [0, 999_999_998],
    ended: true,
    status: { code: 2, message: 'it broke' },
    attributes,
    events: [{ name: 'exception', time: time(7), attributes, droppedAttributesCount: 4 }],
    links: [{ context: context('03'), attributes, droppedAttributesCount: 5 }],
    resource,
    instrumentationScope,
    droppedAttributesCount: 6,
    droppedEventsCount: 7,
    droppedLinksCount: 8,
  },
] satisfies ReadableSpan[]

export const logs = [
  {
    hrTime: time(1),
    hrTimeObserved: time(2),
    spanContext: context('04'),
    severityText: 'WARN',
    severityNumber: 13,
    body: { text: 'it broke', codes: [1, 2] },
    eventName: 'app.broke',
    resource,
    instrumentationScope,
    attributes,
    droppedAttributesCount: 9,
  },
] satisfies ReadableLogRecord[]

const buckets = { offset: -5, bucketCounts: [1, 0, 300] }
const exponential = {
  count: 9,
  sum: 7.5,
  scale: -3,
  zeroCount: 2,
  positive: buckets,
  negative: buckets,
  min: -1,
  max: 6,
}
const histogram = {
  count: 3,
  sum: 7.5,
  buckets: { boundaries: [0.5, 10], counts: [1, 1, 1] },
  min: 0.25,
  max: 6,
}
const point = <T>(value: T) => ({ startTime: time(1), endTime: time(2), attributes, value })
const descriptor = (valueType: ValueType) => ({ name: 'm', description: 'A metric.', unit: 'By', valueType })
const aggregationTemporality = AggregationTemporality.DELTA
export const metrics: ResourceMetrics = {
  resource,
  scopeMetrics: [
    {
      scope: instrumentationScope,
      metrics: [
        {
          descriptor: descriptor(ValueType.DOUBLE),
          dataPointType: DataPointType.GAUGE,
          aggregationTemporality,
          dataPoints: [point(1.5)],
        },
        {
          descriptor: descriptor(ValueType.INT),
          dataPointType: DataPointType.SUM,
          aggregationTemporality: AggregationTemporality.CUMULATIVE,
          isMonotonic: true,
          dataPoints: [point(-7)],
        },
        {
          descriptor: descriptor(ValueType.DOUBLE),
          dataPointType: DataPointType.HISTOGRAM,
          aggregationTemporality,
          dataPoints: [point(histogram)],
        },
        {
          descriptor: descriptor(ValueType.DOUBLE),
          dataPointType: DataPointType.EXPONENTIAL_HISTOGRAM,
          aggregationTemporality,
          dataPoints: [point(exponential)],
        },
      ],
    },
  ],
}
