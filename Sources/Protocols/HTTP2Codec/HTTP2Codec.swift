// HTTP2Codec: HTTP/2 (RFC 9113) as a value that bytes go into and come out of, for servers and clients, and the
// framing of gRPC on top of it. Heads come out in the form of HTTP/1.1 (`MessageHead`), checked to the letter of the
// RFC; floods have budgets. Frames, HPACK and flow control are nghttp2's, and no other target knows of it; what
// a message may look like is decided here. It knows no sockets and no clock, and keeps no bodies: what cannot be
// sent yet stays with the caller.
