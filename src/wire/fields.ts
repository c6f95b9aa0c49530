//! OTLP's messages as data: field numbers, names and types, for the framing check and the JSON codec.

/** The wire types of the protobuf encoding. */
export const WIRE = { VARINT: 0, FIXED64: 1, LEN: 2, GROUP: 3, END_GROUP: 4, FIXED32: 5 } as const

// One row a field: name (`[]` = repeated), number, type, and `oneof` (no message has more than one) or `optional` where it
// says whether it is there even when zero. `enum` is a varint; a capitalised type is a message of this table.
const TABLE = {
  ExportTraceServiceRequest: ['resource_spans[] 1 ResourceSpans'],
  ExportTraceServiceResponse: ['partial_success 1 ExportTracePartialSuccess'],
  ExportTracePartialSuccess: ['rejected_spans 1 int64', 'error_message 2 string'],
  ExportMetricsServiceRequest: ['resource_metrics[] 1 ResourceMetrics'],
  ExportMetricsServiceResponse: ['partial_success 1 ExportMetricsPartialSuccess'],
  ExportMetricsPartialSuccess: ['rejected_data_points 1 int64', 'error_message 2 string'],
  ExportLogsServiceRequest: ['resource_logs[] 1 ResourceLogs'],
  ExportLogsServiceResponse: ['partial_success 1 ExportLogsPartialSuccess'],
  ExportLogsPartialSuccess: ['rejected_log_records 1 int64', 'error_message 2 string'],
  TracesData: ['resource_spans[] 1 ResourceSpans'],
  ResourceSpans: ['resource 1 Resource', 'scope_spans[] 2 ScopeSpans', 'schema_url 3 string'],
  ScopeSpans: ['scope 1 InstrumentationScope', 'spans[] 2 Span', 'schema_url 3 string'],
  Span: [
    'trace_id 1 bytes',
    'span_id 2 bytes',
    'trace_state 3 string',
    'parent_span_id 4 bytes',
    'flags 16 fixed32',
    'name 5 string',
    'kind 6 enum',
    'start_time_unix_nano 7 fixed64',
    'end_time_unix_nano 8 fixed64',
    'attributes[] 9 KeyValue',
    'dropped_attributes_count 10 uint32',
    'events[] 11 Span.Event',
    'dropped_events_count 12 uint32',
    'links[] 13 Span.Link',
    'dropped_links_count 14 uint32',
    'status 15 Status',
  ],
  'Span.Event': [
    'time_unix_nano 1 fixed64',
    'name 2 string',
    'attributes[] 3 KeyValue',
    'dropped_attributes_count 4 uint32',
  ],
  'Span.Link': [
    'trace_id 1 bytes',
    'span_id 2 bytes',
    'trace_state 3 string',
    'attributes[] 4 KeyValue',
    'dropped_attributes_count 5 uint32',
    'flags 6 fixed32',
  ],
  Status: ['message 2 string', 'code 3 enum'],
  MetricsData: ['resource_metrics[] 1 ResourceMetrics'],
  ResourceMetrics: ['resource 1 Resource', 'scope_metrics[] 2 ScopeMetrics', 'schema_url 3 string'],
  ScopeMetrics: ['scope 1 InstrumentationScope', 'metrics[] 2 Metric', 'schema_url 3 string'],
  Metric: [
    'name 1 string',
    'description 2 string',
    'unit 3 string',
    'gauge 5 Gauge oneof',
    'sum 7 Sum oneof',
    'histogram 9 Histogram oneof',
    'exponential_histogram 10 ExponentialHistogram oneof',
    'summary 11 Summary oneof',
    'metadata[] 12 KeyValue',
  ],
  Gauge: ['data_points[] 1 NumberDataPoint'],
  Sum: ['data_points[] 1 NumberDataPoint', 'aggregation_temporality 2 enum', 'is_monotonic 3 bool'],
  Histogram: ['data_points[] 1 HistogramDataPoint', 'aggregation_temporality 2 enum'],
  ExponentialHistogram: ['data_points[] 1 ExponentialHistogramDataPoint', 'aggregation_temporality 2 enum'],
  Summary: ['data_points[] 1 SummaryDataPoint'],
  NumberDataPoint: [
    'attributes[] 7 KeyValue',
    'start_time_unix_nano 2 fixed64',
    'time_unix_nano 3 fixed64',
    'as_double 4 double oneof',
    'as_int 6 sfixed64 oneof',
    'exemplars[] 5 Exemplar',
    'flags 8 uint32',
  ],
  HistogramDataPoint: [
    'attributes[] 9 KeyValue',
    'start_time_unix_nano 2 fixed64',
    'time_unix_nano 3 fixed64',
    'count 4 fixed64',
    'sum 5 double optional',
    'bucket_counts[] 6 fixed64',
    'explicit_bounds[] 7 double',
    'exemplars[] 8 Exemplar',
    'flags 10 uint32',
    'min 11 double optional',
    'max 12 double optional',
  ],
  ExponentialHistogramDataPoint: [
    'attributes[] 1 KeyValue',
    'start_time_unix_nano 2 fixed64',
    'time_unix_nano 3 fixed64',
    'count 4 fixed64',
    'sum 5 double optional',
    'scale 6 sint32',
    'zero_count 7 fixed64',
    'positive 8 ExponentialHistogramDataPoint.Buckets',
    'negative 9 ExponentialHistogramDataPoint.Buckets',
    'flags 10 uint32',
    'exemplars[] 11 Exemplar',
    'min 12 double optional',
    'max 13 double optional',
    'zero_threshold 14 double',
  ],
  'ExponentialHistogramDataPoint.Buckets': ['offset 1 sint32', 'bucket_counts[] 2 uint64'],
  SummaryDataPoint: [
    'attributes[] 7 KeyValue',
    'start_time_unix_nano 2 fixed64',
    'time_unix_nano 3 fixed64',
    'count 4 fixed64',
    'sum 5 double',
    'quantile_values[] 6 SummaryDataPoint.ValueAtQuantile',
    'flags 8 uint32',
  ],
  'SummaryDataPoint.ValueAtQuantile': ['quantile 1 double', 'value 2 double'],
  Exemplar: [
    'filtered_attributes[] 7 KeyValue',
    'time_unix_nano 2 fixed64',
    'as_double 3 double oneof',
    'as_int 6 sfixed64 oneof',
    'span_id 4 bytes',
    'trace_id 5 bytes',
  ],
  LogsData: ['resource_logs[] 1 ResourceLogs'],
  ResourceLogs: ['resource 1 Resource', 'scope_logs[] 2 ScopeLogs', 'schema_url 3 string'],
  ScopeLogs: ['scope 1 InstrumentationScope', 'log_records[] 2 LogRecord', 'schema_url 3 string'],
  LogRecord: [
    'time_unix_nano 1 fixed64',
    'observed_time_unix_nano 11 fixed64',
    'severity_number 2 enum',
    'severity_text 3 string',
    'body 5 AnyValue',
    'attributes[] 6 KeyValue',
    'dropped_attributes_count 7 uint32',
    'flags 8 fixed32',
    'trace_id 9 bytes',
    'span_id 10 bytes',
    'event_name 12 string',
  ],
  AnyValue: [
    'string_value 1 string oneof',
    'bool_value 2 bool oneof',
    'int_value 3 int64 oneof',
    'double_value 4 double oneof',
    'array_value 5 ArrayValue oneof',
    'kvlist_value 6 KeyValueList oneof',
    'bytes_value 7 bytes oneof',
    'string_value_strindex 8 int32 oneof',
  ],
  ArrayValue: ['values[] 1 AnyValue'],
  KeyValueList: ['values[] 1 KeyValue'],
  KeyValue: ['key 1 string', 'value 2 AnyValue', 'key_strindex 3 int32'],
  InstrumentationScope: [
    'name 1 string',
    'version 2 string',
    'attributes[] 3 KeyValue',
    'dropped_attributes_count 4 uint32',
  ],
  EntityRef: ['schema_url 1 string', 'type 2 string', 'id_keys[] 3 string', 'description_keys[] 4 string'],
  Resource: ['attributes[] 1 KeyValue', 'dropped_attributes_count 2 uint32', 'entity_refs[] 3 EntityRef'],
} as const satisfies Record<string, readonly string[]>

export type MessageName = keyof typeof TABLE

export interface Field {
  /** As in the .proto file. */
  readonly name: string
  /** As in OTLP/JSON: lowerCamelCase. */
  readonly json: string
  readonly number: number
  /** A scalar's name, or `message`. */
  readonly type: string
  readonly message: MessageType | null
  readonly repeated: boolean
  /** The wire type of one value; a repeated scalar may also come packed, as LEN. */
  readonly wire: number
  readonly packable: boolean
  /** A zero of an `implicit` scalar is not written; the members of a message's one oneof exclude each other. */
  readonly presence: 'implicit' | 'optional' | 'oneof'
}

export interface MessageType {
  readonly name: MessageName
  readonly fields: readonly Field[]
  readonly byNumber: readonly (Field | undefined)[]
  readonly byJson: ReadonlyMap<string, Field>
}

const WIRE_OF: Record<string, number> = {
  bool: 0,
  enum: 0,
  int32: 0,
  int64: 0,
  uint32: 0,
  uint64: 0,
  sint32: 0,
  fixed64: 1,
  sfixed64: 1,
  double: 1,
  string: 2,
  bytes: 2,
  fixed32: 5,
}

function build(): Record<MessageName, MessageType> {
  const all = {} as Record<
    string,
    { name: string; fields: Field[]; byNumber: Field[]; byJson: Map<string, Field> }
  >
  for (const name of Object.keys(TABLE)) all[name] = { name, fields: [], byNumber: [], byJson: new Map() }
  for (const [name, rows] of Object.entries(TABLE)) {
    const message = all[name]
    for (const row of rows) {
      const [label, number, type, presence = 'implicit'] = row.split(' ')
      const repeated = label.endsWith('[]')
      const fieldName = repeated ? label.slice(0, -2) : label
      const wire = WIRE_OF[type] ?? WIRE.LEN
      const field: Field = {
        name: fieldName,
        json: fieldName.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
        number: Number(number),
        type: type in WIRE_OF ? type : 'message',
        message: (all[type] as MessageType | undefined) ?? null,
        repeated,
        wire,
        packable: repeated && wire !== WIRE.LEN,
        presence: presence as Field['presence'],
      }
      message.fields.push(field)
      message.byNumber[field.number] = field
      message.byJson.set(field.json, field)
    }
  }
  return all as unknown as Record<MessageName, MessageType>
}

/** Every message of OTLP by its name without the package; nested ones as `Span.Event`. */
export const MESSAGES = build()

/** The request message of each signal. */
export const REQUESTS = {
  traces: MESSAGES.ExportTraceServiceRequest,
  metrics: MESSAGES.ExportMetricsServiceRequest,
  logs: MESSAGES.ExportLogsServiceRequest,
} as const
