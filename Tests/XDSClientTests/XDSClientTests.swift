// XDSClientTests: the client side of discovery against servers of our own, in simulated networks; on real sockets
// where TLS is involved.
