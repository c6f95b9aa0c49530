//! Every expected failure is one row here: the operator's sentence, the HTTP status, the gRPC code and whether asking again can help.

/** gRPC status codes by name. */
export const GRPC = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const

interface Row {
  readonly text: string
  readonly http: number
  readonly grpc: number
  /** Whether the sender may send the same bytes again. */
  readonly retry: boolean
}

/** What went wrong on the way in. `http` and `grpc` are what the sender is told. */
export const FAILURES = {
  OTLIER_MALFORMED: {
    text: 'The request is not valid OTLP.',
    http: 400,
    grpc: GRPC.INVALID_ARGUMENT,
    retry: false,
  },
  OTLIER_TOO_LARGE: {
    text: 'The request is larger than max_recv_msg_size_mib allows.',
    http: 413,
    grpc: GRPC.RESOURCE_EXHAUSTED,
    retry: false,
  },
  OTLIER_ENCODING: {
    text: 'The compression is not supported.',
    http: 400,
    grpc: GRPC.UNIMPLEMENTED,
    retry: false,
  },
  OTLIER_CONTENT_TYPE: {
    text: 'The content type is not supported.',
    http: 415,
    grpc: GRPC.INVALID_ARGUMENT,
    retry: false,
  },
  OTLIER_UNAUTHENTICATED: {
    text: 'The request shows no token or password that is let in.',
    http: 401,
    grpc: GRPC.UNAUTHENTICATED,
    retry: false,
  },
  OTLIER_METHOD: { text: 'Only POST is supported here.', http: 405, grpc: GRPC.UNIMPLEMENTED, retry: false },
  OTLIER_NOT_FOUND: {
    text: 'Nothing is served under this path.',
    http: 404,
    grpc: GRPC.UNIMPLEMENTED,
    retry: false,
  },
  OTLIER_SIGNAL_UNSUPPORTED: {
    text: 'No destination takes this signal.',
    http: 404,
    grpc: GRPC.UNIMPLEMENTED,
    retry: false,
  },
  OTLIER_LOOP: {
    text: 'The request has been through this Otlier before: an exporter leads back to its own receiver.',
    http: 400,
    grpc: GRPC.FAILED_PRECONDITION,
    retry: false,
  },
  OTLIER_RECEIVE_TIMEOUT: {
    text: 'The request did not arrive in time.',
    http: 503,
    grpc: GRPC.DEADLINE_EXCEEDED,
    retry: true,
  },
  OTLIER_QUEUE_FULL: { text: 'The sending queue is full.', http: 503, grpc: GRPC.UNAVAILABLE, retry: true },
  OTLIER_DISK: {
    text: 'The queue on disk cannot be written.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: true,
  },
  OTLIER_MEMORY: { text: 'The memory limit is reached.', http: 503, grpc: GRPC.UNAVAILABLE, retry: true },
  OTLIER_BUDGET: {
    text: 'Too many bytes of requests are waiting for their answer.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: true,
  },
  OTLIER_CONNECTION_BUDGET: {
    text: 'Too many bytes of requests of this connection are waiting for their answer.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: true,
  },
  OTLIER_STOPPING: { text: 'Otlier is shutting down.', http: 503, grpc: GRPC.UNAVAILABLE, retry: true },
  OTLIER_INTERNAL: {
    text: 'Otlier failed to handle the request.',
    http: 500,
    grpc: GRPC.INTERNAL,
    retry: false,
  },
  // What a destination did. These reach a log and a counter.
  OTLIER_UNREACHABLE: {
    text: 'The destination cannot be reached.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: true,
  },
  OTLIER_NO_ANSWER: {
    text: 'The destination did not answer in time.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: true,
  },
  OTLIER_DESTINATION_BUSY: {
    text: 'The destination asks to wait.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: true,
  },
  OTLIER_DESTINATION_REFUSED: {
    text: 'The destination refused the request for good.',
    http: 500,
    grpc: GRPC.INTERNAL,
    retry: false,
  },
  OTLIER_DESTINATION_TOO_LARGE: {
    text: 'The destination finds the request too large.',
    http: 413,
    grpc: GRPC.RESOURCE_EXHAUSTED,
    retry: false,
  },
  OTLIER_DESTINATION_UNSUPPORTED: {
    text: 'The destination does not take this signal.',
    http: 404,
    grpc: GRPC.UNIMPLEMENTED,
    retry: false,
  },
  OTLIER_GAVE_UP: {
    text: 'The destination did not take the request within retry_on_failure.max_elapsed_time.',
    http: 503,
    grpc: GRPC.UNAVAILABLE,
    retry: false,
  },
} as const satisfies Record<string, Row>

export type FailureCode = keyof typeof FAILURES

/** What a destination has said, in the codes of both transports. */
export interface Codes {
  readonly grpc: number
  readonly http: number
}

const HTTP_FOR: Readonly<Record<number, number>> = {
  [GRPC.CANCELLED]: 503,
  [GRPC.INVALID_ARGUMENT]: 400,
  [GRPC.DEADLINE_EXCEEDED]: 503,
  [GRPC.NOT_FOUND]: 404,
  [GRPC.ALREADY_EXISTS]: 409,
  [GRPC.PERMISSION_DENIED]: 403,
  [GRPC.RESOURCE_EXHAUSTED]: 429,
  [GRPC.FAILED_PRECONDITION]: 400,
  [GRPC.ABORTED]: 503,
  [GRPC.OUT_OF_RANGE]: 503,
  [GRPC.UNIMPLEMENTED]: 404,
  [GRPC.UNAVAILABLE]: 503,
  [GRPC.DATA_LOSS]: 503,
  [GRPC.UNAUTHENTICATED]: 401,
}
/** The codes of a gRPC status; HTTP has them as the Collector maps them. */
export const grpcCodes = (grpc: number): Codes => ({ grpc, http: HTTP_FOR[grpc] ?? 500 })

const GRPC_FOR: Readonly<Record<number, number>> = {
  400: GRPC.INVALID_ARGUMENT,
  401: GRPC.UNAUTHENTICATED,
  403: GRPC.PERMISSION_DENIED,
  404: GRPC.UNIMPLEMENTED,
  413: GRPC.RESOURCE_EXHAUSTED,
  429: GRPC.UNAVAILABLE,
  502: GRPC.UNAVAILABLE,
  503: GRPC.UNAVAILABLE,
  504: GRPC.UNAVAILABLE,
}
/** The codes of an HTTP status. One that is no error where it stands, such as a redirect, is none for a sender. */
export const httpCodes = (http: number): Codes => ({
  http: http < 400 ? 500 : http,
  grpc: GRPC_FOR[http] ?? GRPC.INTERNAL,
})

/** An expected failure, carried as a value. `detail` says what was seen and what to do about it. */
export class Failure extends Error {
  readonly code: FailureCode
  readonly #codes: Codes
  /** `codes` are what a destination has said; without them those of the table count. */
  constructor(code: FailureCode, detail?: string, cause?: unknown, codes: Codes = FAILURES[code]) {
    super(
      detail === undefined ? FAILURES[code].text : `${FAILURES[code].text} ${detail}`,
      cause === undefined ? undefined : { cause },
    )
    this.name = 'Failure'
    this.code = code
    this.#codes = codes
  }
  get http(): number {
    return this.#codes.http
  }
  get grpc(): number {
    return this.#codes.grpc
  }
  get retry(): boolean {
    return FAILURES[this.code].retry
  }
}
