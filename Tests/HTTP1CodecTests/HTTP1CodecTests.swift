// HTTP1CodecTests: to come.
