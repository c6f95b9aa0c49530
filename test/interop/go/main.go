// A program instrumented with the OpenTelemetry SDK for Go. It does what test/kit/sdk-client.ts does, and prints the same line.
// Endpoint, compression and service name come from the standard environment variables, the protocol from OTEL_EXPORTER_OTLP_PROTOCOL.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	operation = "GET /checkout"
	normals   = 300
	spread    = 30 * time.Minute
)

type ids struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
}

type sent struct {
	Spans  []ids    `json:"spans"`
	Points []string `json:"points"`
	Logs   []string `json:"logs"`
}

// failed counts the exports that the SDK reports as lost.
var failed atomic.Int64

func main() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		fmt.Fprintln(os.Stderr, err)
		failed.Add(1)
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	spans, points, records := exporters(ctx)
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points)))
	loggers := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(records)))

	out := sent{Points: []string{}, Logs: []string{}}
	if len(os.Args) > 1 && os.Args[1] == "slow" {
		now := time.Now()
		out.Spans = []ids{span(ctx, traces, now.Add(-2*time.Second), now)}
	} else {
		normal(ctx, &out, traces, meters, loggers)
	}
	for _, shutdown := range []func(context.Context) error{traces.Shutdown, meters.Shutdown, loggers.Shutdown} {
		check(shutdown(ctx))
	}
	line, err := json.Marshal(out)
	check(err)
	fmt.Println(string(line))
	if failed.Load() > 0 {
		os.Exit(1)
	}
}

func exporters(ctx context.Context) (sdktrace.SpanExporter, sdkmetric.Exporter, sdklog.Exporter) {
	if os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
		spans, err := otlptracegrpc.New(ctx)
		check(err)
		points, err := otlpmetricgrpc.New(ctx)
		check(err)
		records, err := otlploggrpc.New(ctx)
		check(err)
		return spans, points, records
	}
	spans, err := otlptracehttp.New(ctx)
	check(err)
	points, err := otlpmetrichttp.New(ctx)
	check(err)
	records, err := otlploghttp.New(ctx)
	check(err)
	return spans, points, records
}

func normal(ctx context.Context, out *sent, traces trace.TracerProvider, meters metric.MeterProvider, loggers log.LoggerProvider) {
	end := time.Now().Add(-time.Second)
	for i := range normals {
		start := end.Add(-spread + time.Duration(i)*spread/normals)
		out.Spans = append(out.Spans, span(ctx, traces, start, start.Add(time.Duration(8+i%5)*time.Millisecond)))
	}

	meter := meters.Meter("shop")
	orders, err := meter.Int64Counter("orders", metric.WithUnit("{order}"))
	check(err)
	for point := range 3 {
		orders.Add(ctx, int64(point+1)*11, metric.WithAttributes(attribute.Int("point", point+1)))
	}
	latency, err := meter.Float64Histogram("latency", metric.WithUnit("s"))
	check(err)
	latency.Record(ctx, 0.25, metric.WithAttributes(attribute.Int("point", 4)))
	temperature, err := meter.Float64Gauge("temperature")
	check(err)
	temperature.Record(ctx, 21.5, metric.WithAttributes(attribute.Int("point", 5)))
	out.Points = []string{"latency/4=1", "orders/1=11", "orders/2=22", "orders/3=33", "temperature/5=21.5"}

	logger := loggers.Logger("shop")
	for i := range 5 {
		var record log.Record
		body := fmt.Sprintf("order %d", i)
		record.SetBody(attribute.StringValue(body))
		record.SetSeverity(log.SeverityInfo)
		record.SetTimestamp(time.Now())
		logger.Emit(ctx, record)
		out.Logs = append(out.Logs, body)
	}
}

func span(ctx context.Context, traces trace.TracerProvider, start, end time.Time) ids {
	_, span := traces.Tracer("shop").Start(ctx, operation, trace.WithNewRoot(), trace.WithTimestamp(start),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", "GET")))
	span.End(trace.WithTimestamp(end))
	return ids{span.SpanContext().TraceID().String(), span.SpanContext().SpanID().String()}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
