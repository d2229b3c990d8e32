// SystemTests: the real binaries on real sockets, every port 0, against peers that we script and clients that others
// wrote (curl, openssl, h2load). What a pure machine decides is tested lower down; here is shown that the process as
// a whole does it. The suites run one after the other, so that times mean something on a machine with two cores.

import Testing

@Suite("System", .serialized, .timeLimit(.minutes(2)))
enum SystemTests {}
