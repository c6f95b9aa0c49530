"""A recording OTLP backend on Google's C-core gRPC and the official protobuf runtime.

usage: backend.py MESSAGES none|gzip all|traces
MESSAGES is the folder of the modules that grpc_tools.protoc made. Prints {"port"} first, then one line of JSON for each
request: its signal, the metadata that came along, and the message as the runtime writes it again (base64).
The second argument is the compression of the answers. With `traces` the other two services are not there.
"""

import base64
import json
import sys
import threading
from concurrent import futures

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc  # noqa: E402
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc  # noqa: E402
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc  # noqa: E402

_, _, COMPRESSION, SIGNALS = sys.argv
lock = threading.Lock()


def say(line):
    with lock:
        print(json.dumps(line), flush=True)


class Recorder:
    def __init__(self, signal, response):
        self.signal = signal
        self.response = response

    def Export(self, request, context):
        # The runtime takes grpc-encoding off the metadata; the sender's other headers tell who it was.
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        body = base64.b64encode(request.SerializeToString()).decode()
        say({"signal": self.signal, "metadata": metadata, "body": body})
        return self.response()


def main():
    compression = grpc.Compression.Gzip if COMPRESSION == "gzip" else grpc.Compression.NoCompression
    server = grpc.server(futures.ThreadPoolExecutor(4), compression=compression)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
        Recorder("traces", trace_service_pb2.ExportTraceServiceResponse), server
    )
    if SIGNALS == "all":
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(
            Recorder("metrics", metrics_service_pb2.ExportMetricsServiceResponse), server
        )
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(
            Recorder("logs", logs_service_pb2.ExportLogsServiceResponse), server
        )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say({"port": port})
    # Whoever started this closes its input when done, or dies, which closes it too.
    sys.stdin.read()
    server.stop(None)


main()
