import Foundation
import TestSupport

/// A port behind which a function talks to each connection, on a thread of its own.
final class RawPeer: @unchecked Sendable {
    private let listener: ListeningSocket

    init(_ talk: @escaping @Sendable (TCPStream) throws -> Void) throws {
        listener = try ListeningSocket()
        listener.start { stream in
            Thread.detachNewThread {
                // What the other side did is for the test to judge.
                try? talk(stream)
                stream.close()
            }
        }
    }

    var port: UInt16 { listener.port }

    deinit { listener.stop() }
}

/// A number that threads count up.
final class Tally: @unchecked Sendable {
    private let lock = NSLock()
    private var number = 0

    func add() { lock.withLock { number += 1 } }
    var count: Int { lock.withLock { number } }
}

/// Of this process.
func residentKiB() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") }),
        let number = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first,
        let value = Int(number)
    else { throw TestFailure("no RssAnon") }
    return value
}
