// Telemetry: what a proxy tells about itself: counters and histograms that each worker keeps for itself and others
// read, the record of one request and the ring of the last ones, access log lines, trace context. It counts and
// renders; it opens no file and no socket, reads no clock, and decides nothing about traffic.
