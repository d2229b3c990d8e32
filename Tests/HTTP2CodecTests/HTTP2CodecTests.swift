// HTTP2CodecTests: sessions against each other in memory, and against frames written by hand.
