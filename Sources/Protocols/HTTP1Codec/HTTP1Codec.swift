// HTTP1Codec: to come.
