//! The table of commands, and the help that is printed from it.
import { CONFIG_OPTIONS, type Options } from './arguments.ts'

export interface Command {
  readonly summary: string
  readonly usage: readonly string[]
  readonly options: Options
  readonly more?: readonly string[]
  /** Loaded when it runs: help and errors must not wait for gRPC. */
  load(): Promise<(args: readonly string[]) => Promise<number>>
}

const EXIT_CODES = [
  'Exit codes: 0 all is well, 1 it failed, 2 the command line or the configuration is wrong.',
]

export const COMMANDS = {
  run: {
    summary: 'Run the service (this is what happens without a command).',
    usage: ['otlier [run] [--config FILE]... [--set KEY=VALUE]... [--port-offset N] [--watch]'],
    options: {
      ...CONFIG_OPTIONS,
      watch: { help: 'Read the configuration again when its files change, as on SIGHUP.' },
    },
    more: [
      'Without a configuration, OTLP comes in on 127.0.0.1:4317 (gRPC) and 127.0.0.1:4318 (HTTP)',
      'and goes to OTEL_EXPORTER_OTLP_ENDPOINT. All OTEL_EXPORTER_OTLP_* variables count.',
      '',
      'SIGTERM and Ctrl-C stop in order: nothing more is taken, and what was taken is delivered.',
      'A second one, more than a second later, ends at once.',
      'SIGHUP reads the configuration again. One with an error changes nothing, and the log says why.',
      '',
      'Exit codes: 0 stopped in order, 1 not started or something accepted was lost by stopping,',
      '2 the command line or the configuration is wrong, 70 a bug in Otlier.',
    ],
    load: async () => (await import('./run.ts')).run,
  },
  validate: {
    summary: 'Check a configuration and start nothing.',
    usage: ['otlier validate [--config FILE]... [--set KEY=VALUE]...'],
    options: CONFIG_OPTIONS,
    more: ['All errors are told at once, as FILE:LINE:COLUMN: SETTING: what is wrong.', '', ...EXIT_CODES],
    load: async () => (await import('./validate.ts')).validate,
  },
  replay: {
    summary: 'Run recorded telemetry through the whole pipeline, as fast as the machine can.',
    usage: ['otlier replay [--config FILE]... --events FILE [--out FILE] INPUT...'],
    options: {
      ...CONFIG_OPTIONS,
      events: { value: 'FILE', help: "Where Otlier's events go, as OTLP JSON lines." },
      out: { value: 'FILE', help: 'Where the telemetry goes with its marks, as OTLP JSON lines.' },
    },
    more: [
      "INPUT is what the Collector's file exporter writes: OTLP JSON lines, .jsonl, also .gz and .zst,",
      'traces, metrics and logs mixed in one file or many. The same input gives the same output.',
      '',
      ...EXIT_CODES,
    ],
    load: async () => (await import('./replay.ts')).replay,
  },
  explain: {
    summary: 'Say why there was an incident, or why there was none.',
    usage: [
      'otlier explain [INCIDENT|TRACE] [--json]',
      'otlier explain --at TIME [--service NAME] [--json]',
      'otlier explain --input FILE... [INCIDENT|TRACE | --at TIME [--service NAME]] [--json]',
    ],
    options: {
      at: {
        value: 'TIME',
        help: 'Rank the suspects by what had been seen up to then: 2026-01-31T14:03:00Z.',
      },
      service: { value: 'NAME', help: 'With --at: what was seen of this service, and why it was not told.' },
      input: {
        value: 'FILE',
        repeatable: true,
        help: 'Ask a recording, as replay reads it, and not the running service. Repeatable.',
      },
      json: { help: 'Only {"suspects":[{"service":...,"score":...}]}, likeliest first.' },
      ...CONFIG_OPTIONS,
    },
    more: [
      'Asks service.view.endpoint of the same configuration. Without an id it lists the incidents. The last 100',
      'that have ended are kept, and what was seen in the last hour.',
      '',
      ...EXIT_CODES,
    ],
    load: async () => (await import('./explain.ts')).explain,
  },
  selftest: {
    summary: 'Measure what the running service would find: faults into copies of its own last windows.',
    usage: ['otlier selftest [--seed N] [--json]'],
    options: {
      seed: { value: 'N', help: 'Which faults where: the same windows and seed give the same result.' },
      json: { help: 'Only the result, as JSON.' },
      ...CONFIG_OPTIONS,
    },
    more: [
      'The service copies the last half hour of windows, injects faults of known kind and size into the copies, and',
      'judges them by what it has learned. Nothing of that reaches incidents, models or exporters. The result is printed,',
      'and told as an event, otlier.selftest.result, and as metrics. It takes a quarter of one core, ten minutes at most.',
      'Asks service.view.endpoint of the same configuration, on this machine only.',
      '',
      ...EXIT_CODES,
    ],
    load: async () => (await import('./selftest.ts')).selftest,
  },
  demo: {
    summary: 'See it work: a simulated shop, faults, and the incidents that Otlier opens.',
    usage: [
      'otlier demo [--for TIME] [--seed N] [--calm] [--socket PATH]',
      'otlier demo inject NAME [--for TIME] [--socket PATH]',
    ],
    options: {
      for: {
        value: 'TIME',
        help: 'How long: of the demo (until Ctrl-C), of a fault that is injected (30s).',
      },
      seed: { value: 'N', help: 'Another shop day; 1 where not given.' },
      calm: { help: 'No faults but those that are injected.' },
      socket: { value: 'PATH', help: 'Where the running demo takes faults.' },
    },
    more: [
      'Services simulated with the OpenTelemetry SDK send OTLP/gRPC to an Otlier on a free port: half an hour of',
      'history first, then live traffic with a fault every 100 seconds. Ctrl-C ends it with a scorecard.',
      'Its windows are of 5 seconds, so that incidents open sooner. Nothing leaves the machine, nothing is kept.',
      '',
      'Faults: slow-dependency, network-delay, error-burst, bad-release, missing-child, silence.',
      'They are taken on a Unix socket that only this user can reach: in $XDG_RUNTIME_DIR, else in the folder for',
      'temporary files.',
      '',
      ...EXIT_CODES,
    ],
    load: async () => (await import('./demo/demo.ts')).demo,
  },
  config: {
    summary: 'Print the configuration in force, its JSON schema, or a file to start from.',
    usage: [
      'otlier config print [--config FILE]... [--set KEY=VALUE]...',
      'otlier config schema',
      'otlier config init > otlier.yaml',
    ],
    options: CONFIG_OPTIONS,
    more: [
      'print   the configuration in force, defaults and variables included, secrets masked',
      'schema  a JSON schema for editors',
      'init    a file with every setting, its default and what it does',
    ],
    load: async () => (await import('./config.ts')).config,
  },
  healthcheck: {
    summary: 'Ask the running service whether it is ready.',
    usage: ['otlier healthcheck [--config FILE]... [--set KEY=VALUE]... [--port-offset N]'],
    options: CONFIG_OPTIONS,
    more: [
      'Asks service.health.endpoint of the same configuration for /ready and prints the answer.',
      '',
      ...EXIT_CODES,
    ],
    load: async () => (await import('./healthcheck.ts')).healthcheck,
  },
  version: {
    summary: 'Print the version.',
    usage: ['otlier version'],
    options: {},
    load: async () => (await import('./version.ts')).version,
  },
  help: {
    summary: 'Print this, or the help of one command.',
    usage: ['otlier help [COMMAND]', 'otlier COMMAND --help'],
    options: {},
    load: async () => async args => help(args[0] ?? null),
  },
} satisfies Record<string, Command>

export type CommandName = keyof typeof COMMANDS
export const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name)

const EXAMPLES = [
  ['OTEL_EXPORTER_OTLP_ENDPOINT=http://jaeger:4317 otlier', 'forward to a backend'],
  ['otlier --config otlier.yaml --set service.logs.level=debug', 'a file, and one setting over it'],
  ['otlier --port-offset 10000 --set directory=none', 'beside a Collector or another Otlier'],
  ['otlier config init > otlier.yaml', 'a file with all settings'],
  ['otlier explain --at 2026-01-31T14:03:00Z --service shop', 'why nobody was told of it'],
]

/** Help on standard output; about everything when `name` is null. Unknown names fall back to everything. */
export function help(name: string | null): number {
  console.log(name !== null && isCommand(name) ? commandHelp(name) : overview())
  return 0
}

function overview(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary])
  return [
    'Otlier receives OTLP, marks the spans that break from what is normal, says why, and forwards everything.',
    '',
    'Usage: otlier [COMMAND] [OPTIONS]',
    '',
    'Commands:',
    ...columns(commands),
    '',
    'Options of run, which need no command:',
    ...columns(optionRows(COMMANDS.run.options)),
    '',
    'Everywhere:',
    ...columns([
      ['-h, --help', 'Print help, of a command after it.'],
      ['-v, --version', 'Print the version.'],
    ]),
    '',
    'Examples:',
    ...columns(EXAMPLES),
  ].join('\n')
}

function commandHelp(name: CommandName): string {
  const command: Command = COMMANDS[name]
  const options = optionRows(command.options)
  return [
    command.summary,
    '',
    ...command.usage.map((usage, index) => `${index === 0 ? 'Usage: ' : '       '}${usage}`),
    ...(options.length === 0 ? [] : ['', 'Options:', ...columns(options)]),
    ...(command.more === undefined ? [] : ['', ...command.more]),
  ].join('\n')
}

const optionRows = (options: Options): string[][] =>
  Object.entries(options).map(([name, { value, short, help }]) => [
    `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
    help,
  ])

function columns(rows: readonly (readonly string[])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
