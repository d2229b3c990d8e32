// TraceExport: makes spans of the requests that workers hand over, and sends them to collectors by OTLP, on the control
// loop. `SpanEncoder` is a pure function from a request to bytes; `SpanQueue` is a value that keeps a bounded number of
// them and cuts batches; `TraceExporter` drains the workers' rings, and a `CollectorClient` carries a batch over gRPC or
// HTTP. What does not fit anywhere on this way is dropped and counted; no request ever waits for it.
