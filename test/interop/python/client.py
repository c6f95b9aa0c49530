"""A program that exports OTLP by Google's C-core gRPC: what test/kit/sdk-client.ts does, without an SDK.

usage: client.py MESSAGES ENDPOINT none|gzip normal|slow SERVICE
MESSAGES is the folder of the modules that grpc_tools.protoc made. Prints what it sent as one line of JSON.
"""

import json
import os
import sys
import time

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc  # noqa: E402
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc  # noqa: E402
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc  # noqa: E402

_, _, ENDPOINT, COMPRESSION, PHASE, SERVICE = sys.argv
NORMALS = 300
SPREAD_NS = 1_800_000_000_000
MS = 1_000_000


def span_request():
    """A request with the resource and scope of everything below, and the list that takes its spans."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    group = request.resource_spans.add()
    name_service(group.resource)
    scope = group.scope_spans.add()
    scope.scope.name = "shop"
    return request, scope.spans


def name_service(resource):
    attribute = resource.attributes.add()
    attribute.key = "service.name"
    attribute.value.string_value = SERVICE


def add_span(spans, start_ns, end_ns):
    span = spans.add()
    span.trace_id = os.urandom(16)
    span.span_id = os.urandom(8)
    span.name = "GET /checkout"
    span.kind = 2
    span.start_time_unix_nano = start_ns
    span.end_time_unix_nano = end_ns
    method = span.attributes.add()
    method.key = "http.request.method"
    method.value.string_value = "GET"
    return {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex()}


def metrics_request():
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    name_service(group.resource)
    scope = group.scope_metrics.add()
    now = time.time_ns()
    orders = scope.metrics.add()
    orders.name = "orders"
    orders.sum.is_monotonic = True
    orders.sum.aggregation_temporality = 2
    for number in (1, 2, 3):
        point = orders.sum.data_points.add()
        point.as_int = number * 11
        finish_point(point, number, now)
    latency = scope.metrics.add()
    latency.name = "latency"
    latency.histogram.aggregation_temporality = 2
    point = latency.histogram.data_points.add()
    point.count = 1
    point.sum = 0.25
    point.explicit_bounds.append(1.0)
    point.bucket_counts.extend([1, 0])
    finish_point(point, 4, now)
    temperature = scope.metrics.add()
    temperature.name = "temperature"
    point = temperature.gauge.data_points.add()
    point.as_double = 21.5
    finish_point(point, 5, now)
    return request, ["latency/4=1", "orders/1=11", "orders/2=22", "orders/3=33", "temperature/5=21.5"]


def finish_point(point, number, now):
    point.time_unix_nano = now
    attribute = point.attributes.add()
    attribute.key = "point"
    attribute.value.int_value = number


def logs_request():
    request = logs_service_pb2.ExportLogsServiceRequest()
    group = request.resource_logs.add()
    name_service(group.resource)
    scope = group.scope_logs.add()
    bodies = [f"order {number}" for number in range(5)]
    for body in bodies:
        record = scope.log_records.add()
        record.time_unix_nano = time.time_ns()
        record.severity_number = 9
        record.body.string_value = body
    return request, bodies


def main():
    compression = grpc.Compression.Gzip if COMPRESSION == "gzip" else grpc.Compression.NoCompression
    sent = {"spans": [], "points": [], "logs": []}
    with grpc.insecure_channel(ENDPOINT, compression=compression) as channel:
        traces = trace_service_pb2_grpc.TraceServiceStub(channel)
        now = time.time_ns()
        if PHASE == "slow":
            request, spans = span_request()
            sent["spans"].append(add_span(spans, now - 2000 * MS, now))
            traces.Export(request, timeout=10)
        else:
            # Three requests, so that the service sees more than one.
            first_ns = now - 1000 * MS - SPREAD_NS
            for chunk in range(3):
                request, spans = span_request()
                for i in range(chunk * NORMALS // 3, (chunk + 1) * NORMALS // 3):
                    start = first_ns + i * SPREAD_NS // NORMALS
                    sent["spans"].append(add_span(spans, start, start + (8 + i % 5) * MS))
                traces.Export(request, timeout=10)
            request, sent["points"] = metrics_request()
            metrics_service_pb2_grpc.MetricsServiceStub(channel).Export(request, timeout=10)
            request, sent["logs"] = logs_request()
            logs_service_pb2_grpc.LogsServiceStub(channel).Export(request, timeout=10)
    print(json.dumps(sent))


main()
