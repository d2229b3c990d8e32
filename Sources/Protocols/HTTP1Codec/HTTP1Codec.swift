// HTTP1Codec: HTTP/1.1 as pure values: bytes in, heads and body events out, and back. `HTTP1Parser` reads heads and
// trailers, `BodyDecoder` finds where a body ends, `HTTP1Writer` writes what goes out. What RFC 9112 lets a server
// tolerate because of old peers is refused here, since a proxy and the server behind it must agree on every byte:
// a disagreement is a smuggled request. It holds no bytes, reads no socket and decides nothing about routing.
