//! Every setting once, with its default, its check and its help; and what holds between settings.
import { destination, listen, parseTarget, parseUrl } from './base/endpoints.ts'
import { wrongHeader } from './base/headers.ts'
import { budget, count, duration, factor, flag, mebibytes } from './base/numbers.ts'
import { quote } from './base/row.ts'
import { chosen, kinds, section, type ValueOf } from './base/settings.ts'
import { choice, secrets, text, words } from './base/texts.ts'

const wrongOrigin = (origin: string) =>
  origin === '*' || /^[a-z*][a-z0-9*+.-]*:\/\/[^/\s]+$/i.test(origin)
    ? null
    : `${quote(origin)} is not an origin; write it as https://shop.example, without a path`

const receiverTls = section('TLS for clients. Off unless `cert_file` is given.', {
  cert_file: text('The certificate to show to clients, PEM.'),
  key_file: text('Its private key, PEM.'),
  client_ca_file: text('Clients must show a certificate signed by one of these, PEM.'),
})

const auth = section('Who may send. Everybody, unless one of these is given; with both, either is enough.', {
  bearer_token_file: text('A file with the tokens that are let in, one a line.'),
  basic_file: text('A file with `user:password` lines.'),
})

const maxRecvMsgSize = mebibytes('64', 'The largest request, after decompression.', [1, 1024])

const cors = section('Pages in browsers that may send. None may unless `allowed_origins` names some.', {
  allowed_origins: words([], 'Origins, such as https://shop.example; * stands for anything.', {
    wrong: wrongOrigin,
  }),
  allowed_headers: words([], 'Request headers that pages may set beside the usual ones; * allows all.', {
    wrong: wrongHeader,
  }),
  max_age: duration('0s', 'How long a browser may remember the answer. 0 leaves that to the browser.', [
    '0s',
    '24h',
  ]),
})

const protocols = chosen(
  'The transports to receive on. A file that names one of them switches the other off.',
  {
    grpc: section(
      'OTLP/gRPC.',
      {
        endpoint: listen('127.0.0.1:4317', 'Where OTLP/gRPC comes in.'),
        max_recv_msg_size_mib: maxRecvMsgSize,
        tls: receiverTls,
        auth,
      },
      {
        keepalive: 'connections are kept alive as they are',
        transport: 'it is TCP',
      },
    ),
    http: section(
      'OTLP/HTTP, protobuf and JSON.',
      {
        endpoint: listen('127.0.0.1:4318', 'Where OTLP/HTTP comes in.'),
        max_recv_msg_size_mib: maxRecvMsgSize,
        tls: receiverTls,
        auth,
        cors,
      },
      { max_request_body_size: 'here it is called max_recv_msg_size_mib' },
    ),
  },
)

const exporterTls = section(
  'TLS towards the destination. gRPC without http:// in front of the address uses TLS unless `insecure` is true.',
  {
    insecure: flag(
      'false',
      'Plain text, for gRPC addresses that have neither http:// nor https:// in front.',
    ),
    insecure_skip_verify: flag('false', 'Take any certificate. For trying things out only.'),
    ca_file: text('Certificates to trust in place of the well-known ones, PEM.'),
    cert_file: text('The certificate to show to the destination, PEM.'),
    key_file: text('Its private key, PEM.'),
    server_name_override: text('The name to expect in the certificate of the destination.'),
  },
)

const retryOnFailure = section(
  'What to do when the destination is busy or away.',
  {
    enabled: flag('true', 'Ask again when the destination is busy or away.'),
    initial_interval: duration('1s', 'The longest first pause; every pause is random below its limit.', [
      '1ms',
      '1h',
    ]),
    multiplier: factor('1.5', 'By how much the limit grows from pause to pause.', [1, 10]),
    max_interval: duration('30s', 'The limit never grows beyond this.', ['1ms', '1h']),
    max_elapsed_time: duration(
      '300s',
      'Give up on a request after this long; 0 means never. Without effect on what waits on disk.',
      ['0s', '720h'],
    ),
  },
  { randomization_factor: 'the pauses are always fully random' },
)

const sendingQueue = section(
  'What waits for the destination.',
  {
    storage: choice('memory', ['memory', 'disk'], 'Where it waits. On disk it is under `directory`.'),
    size_mib: mebibytes(null, 'How much may wait.', [1, 1_048_576], {
      initialNote: '64, or less if memory is small; 2048 on disk',
    }),
    when_full: choice(
      null,
      ['refuse', 'drop_newest', 'drop_oldest'],
      'What happens when it is full: senders are asked to come back, or something is dropped and counted.',
      {
        initialNote: 'refuse; drop_newest with several destinations',
      },
    ),
    num_consumers: count('10', 'How many requests are under way at once.', [1, 256]),
    acknowledge: choice(
      null,
      ['memory', 'durable', 'delivered'],
      'When a sender is told that its data has been taken: queued, synced to disk, or answered by the destination.',
      { initialNote: 'memory; durable on disk' },
    ),
  },
  {
    enabled: 'there is always a queue; its size is size_mib',
    queue_size: 'the queue is bounded by its bytes: size_mib',
    sizer: 'the queue is bounded by its bytes: size_mib',
    block_on_overflow: 'here it is called when_full',
    wait_for_result: 'here it is called acknowledge',
    batch: 'requests are merged up to 3.5 MiB without being asked',
  },
)

const sending = {
  headers: secrets('Sent with every request; values are masked when printed.', { wrong: wrongHeader }),
  tls: exporterTls,
  compression: choice(
    'gzip',
    ['gzip', 'none'],
    'How requests are compressed. OTEL_EXPORTER_OTLP_COMPRESSION overrules it.',
  ),
  timeout: duration('5s', 'How long one attempt may take.', ['1ms', '1h']),
  required: flag('false', 'Its full queue refuses senders even when there are other destinations.'),
  retry_on_failure: retryOnFailure,
  sending_queue: sendingQueue,
}

const pipeline = {
  receivers: words(['otlp'], 'Where it comes from.', { wrong: name => known(name, ['otlp'], 'receiver') }),
  processors: words(['otlier'], 'What is done with it. Empty: it is forwarded unseen.', {
    wrong: name =>
      Object.hasOwn(PROCESSOR_HINTS, name) ? PROCESSOR_HINTS[name] : known(name, ['otlier'], 'processor'),
  }),
  exporters: words(
    null,
    'Where it goes. Empty: it is taken, learned from, and let go.',
    { wrong: () => null },
    { initialNote: 'all exporters' },
  ),
}

const PROCESSOR_HINTS: Readonly<Record<string, string>> = {
  batch: 'the processor batch is not needed: exporters merge requests by themselves. Take it out',
  memory_limiter: 'the processor memory_limiter is not needed: memory_limit_mib does its work. Take it out',
}

function known(name: string, names: readonly string[], what: string): string | null {
  return names.includes(name) ? null : `${quote(name)} is no ${what} of Otlier; known: ${names.join(', ')}`
}

const NAMELESS = { 'otlp/2': 'there is one receiver, otlp' }

/** The table of settings, in the order in which they are printed. */
export const SETTINGS = section(
  'Otlier',
  {
    directory: text(
      'Where what was learned is kept over restarts. `none` keeps nothing.',
      { initial: 'auto' },
      {
        initialNote:
          '`OTLIER_DIRECTORY`, else `/var/lib/otlier` where writable, else `~/.local/state/otlier`',
      },
    ),
    memory_limit_mib: mebibytes(null, 'How much memory Otlier means to use.', [64, 16_777_216], {
      initialNote: "80 % of the container's limit, else a quarter of the machine's memory, at most 2048",
    }),
    shutdown_timeout: duration(
      '20s',
      'How long stopping may take before what is left is given up and counted.',
      ['0s', '1h'],
    ),
    receivers: section(
      'Where telemetry comes in.',
      {
        otlp: section('OTLP.', {
          forward_headers: words([], 'Request headers to pass on to destinations, such as X-Scope-OrgID.', {
            wrong: wrongHeader,
            normal: name => name.toLowerCase(),
          }),
          protocols,
        }),
      },
      NAMELESS,
    ),
    processors: section(
      'What is done with it.',
      {
        otlier: section('Learning and marking.', {
          budget: budget('1/day', 'How many false incidents are acceptable: the one knob.'),
          window: duration('10s', 'The interval of event time that is summed up.', ['1s', '10m']),
          allowed_lateness: duration('10s', 'How late spans may come and still count for their window.', [
            '0s',
            '10m',
          ]),
          trace_wait: duration('10s', 'How long a trace of which spans are missing waits for them.', [
            '0s',
            '10m',
          ]),
          rebaseline_after: duration('1h', 'A changed level that stays this long becomes the new normal.', [
            '1m',
            '720h',
          ]),
          max_series: count(
            '20000',
            'How many operations are told apart; the rest share one series per service.',
            [1, 1_000_000],
          ),
          jaeger_warnings: flag('false', 'Also write marks as warnings that Jaeger shows.'),
          compat: section('Names that other tools write.', {
            isolationforest: flag(
              'false',
              "Also write the attribute names of the Collector's isolationforest processor.",
            ),
          }),
        }),
      },
      PROCESSOR_HINTS,
    ),
    exporters: kinds(
      'Where telemetry goes: any number, named `type` or `type/name`. None by default, but for the OTEL_EXPORTER_OTLP_ variables.',
      {
        otlp: section(
          'OTLP/gRPC.',
          {
            endpoint: destination(
              '`host:port`, with http:// in front for plain text.',
              parseTarget,
              'has no address; write endpoint: http://localhost:4317',
            ),
            ...sending,
          },
          { protocol: 'otlp is gRPC; for HTTP use the type otlphttp' },
        ),
        otlphttp: section('OTLP/HTTP.', {
          endpoint: destination(
            'A URL, to which v1/traces, v1/metrics or v1/logs is added.',
            parseUrl,
            'has no address; write endpoint: http://localhost:4318',
          ),
          encoding: choice('proto', ['proto', 'json'], 'The format of requests.'),
          ...sending,
        }),
        debug: section('Prints a line for every batch.', {}),
      },
      {
        otlp_grpc: 'here it is called otlp',
        otlp_http: 'here it is called otlphttp',
        jaeger: 'Jaeger takes OTLP: use otlp with its address and port 4317',
        logging: 'use debug',
      },
    ),
    service: section(
      'What is connected, and what Otlier tells about itself.',
      {
        pipelines: chosen(
          'One per signal. A signal that a file leaves out, while it names another, is not received.',
          {
            traces: section('Traces.', pipeline),
            metrics: section('Metrics.', pipeline),
            logs: section('Logs.', pipeline),
          },
        ),
        metrics: section('Metrics of Otlier itself.', {
          endpoint: listen('127.0.0.1:8888', 'Where Prometheus finds /metrics.'),
          otlp: flag('false', "Also send Otlier's own traces and metrics by OTLP to the destinations."),
        }),
        health: section('Health.', { endpoint: listen('127.0.0.1:13133', 'Where /ready and /live answer.') }),
        view: section('What can be asked about incidents.', {
          endpoint: listen(
            '127.0.0.1:4319',
            'Where `otlier explain` and others ask about incidents: /api/incidents.',
          ),
        }),
        logs: section("Otlier's own log, on standard error.", {
          level: choice('info', ['debug', 'info', 'warn', 'error'], 'What is logged.'),
        }),
      },
      {
        telemetry: "Otlier's own telemetry is service.metrics and service.logs",
        extensions: 'there are none; health is service.health',
      },
    ),
  },
  {
    extensions: 'there are none; health is service.health',
    connectors: 'there are none',
  },
)

type Values = ValueOf<typeof SETTINGS>
export type Signal = 'traces' | 'metrics' | 'logs'
type AnyExporter = Values['exporters'][number]
type Sending = Exclude<AnyExporter, { readonly type: 'debug' }>
type Settled<E> = E extends Sending
  ? Omit<E, 'sendingQueue'> & {
      /** Everything that depends on other settings is settled. */
      readonly sendingQueue: Omit<E['sendingQueue'], 'whenFull'> & {
        readonly whenFull: 'refuse' | 'drop_newest' | 'drop_oldest'
      }
      /** The endpoint is one signal's whole URL: nothing is added to it. */
      readonly exact: boolean
      /** No TLS. */
      readonly plain: boolean
    }
  : E
export type ExporterConfig = Settled<AnyExporter>

export interface Pipeline {
  readonly receivers: readonly string[]
  readonly processors: readonly string[]
  /** Ids of exporters. Empty: what comes in is learned from and let go. */
  readonly exporters: readonly string[]
}

/** What runs. Durations are in milliseconds, sizes in bytes. */
export interface Config extends Omit<Values, 'exporters' | 'service'> {
  readonly exporters: readonly ExporterConfig[]
  readonly service: Omit<Values['service'], 'pipelines'> & {
    /** Null: the signal is not received. */
    readonly pipelines: Readonly<Record<Signal, Pipeline | null>>
  }
}
