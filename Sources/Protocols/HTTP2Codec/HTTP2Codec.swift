// HTTP2Codec: to come.
