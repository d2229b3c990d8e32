import Foundation
import TestSupport

/// A port behind which a function talks to each connection, on a thread of its own.
final class RawPeer: @unchecked Sendable {
    let port: UInt16
    private let listener: Int32

    init(_ talk: @escaping @Sendable (TCPStream) throws -> Void) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) | listen(descriptor, 64) | getsockname(descriptor, $0, &length)
            }
        }
        guard result == 0 else { throw TestFailure("raw peer: \(String(cString: strerror(errno)))") }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            while true {
                let accepted = accept(descriptor, nil, nil)
                guard accepted >= 0 else { return }
                let stream = TCPStream(adopting: accepted)
                Thread.detachNewThread {
                    // What the other side did is for the test to judge.
                    try? talk(stream)
                    stream.close()
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
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
