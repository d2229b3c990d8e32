// ReactorTests: the loop, its timers and the machine's side of them on real sockets (loopback, free ports), and the
// simulated network against the same expectations.

import Testing

/// For what belongs to a value that cannot be copied, which `#expect` cannot look into.
func expectEqual<T: Equatable>(
    _ found: T, _ expected: T, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(found == expected, sourceLocation: sourceLocation)
}
