// HTTP2CodecTests: to come.
