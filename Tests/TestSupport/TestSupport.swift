// TestSupport: what tests of whole processes stand on: the binaries of this build as processes with logs, peers on
// port 0 that misbehave on request, raw connections that can send anything, certificates made by `openssl`, and
// waiting with a bound. Every failure says what was expected, what came, and where the log is. It uses Foundation
// and blocking calls, which nothing else here does; it knows nothing of what is tested.

import Foundation

/// What a test could not do or did not see, in words.
public struct TestFailure: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Looks again every 10 ms until `condition` gives a value, for `seconds` at the most. `what` completes the sentence
/// "waited in vain for …".
@discardableResult
public func eventually<T>(
    _ what: @autoclosure () -> String, within seconds: Double = 30, _ condition: () throws -> T?
) throws -> T {
    let deadline = Date(timeIntervalSinceNow: seconds)
    var last: (any Error)?
    while true {
        do {
            if let value = try condition() { return value }
            last = nil
        } catch {
            last = error
        }
        guard Date() < deadline else {
            let reason = last.map { " (\($0))" } ?? ""
            throw TestFailure("waited \(seconds) s in vain for \(what())\(reason)")
        }
        usleep(10_000)
    }
}

/// Seconds that `body` took, and what it gave.
public func timed<T>(_ body: () throws -> T) rethrows -> (seconds: Double, value: T) {
    let start = DispatchTime.now().uptimeNanoseconds
    let value = try body()
    return (Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9, value)
}

/// The root of the checked-out repository.
public let repositoryRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
