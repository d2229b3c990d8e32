import Foundation

/// A port of the loopback address, and the thread that accepts there. The descriptor is that thread's: closed by
/// anybody else its number could be another socket's while the thread is still at it, and the thread would take that
/// one's connections.
public final class ListeningSocket: @unchecked Sendable {
    public let port: UInt16
    private let descriptor: Int32
    private let lock = NSLock()
    private let hasEnded = DispatchSemaphore(value: 0)
    private var isStopped = false
    private var thread: Thread?

    public init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = TCPStream.loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) | listen(descriptor, 256) | getsockname(descriptor, $0, &length)
            }
        }
        guard result == 0 else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw TestFailure("peer: \(reason)")
        }
        port = UInt16(bigEndian: address.sin_port)
    }

    /// Once. Each connection goes to `accepted`, on the accepting thread.
    public func start(_ accepted: @escaping @Sendable (TCPStream) -> Void) {
        let (descriptor, hasEnded) = (descriptor, hasEnded)
        let thread = Thread {
            while true {
                let connection = accept(descriptor, nil, nil)
                if connection >= 0 {
                    accepted(TCPStream(adopting: connection))
                } else if errno != EINTR, errno != ECONNABORTED {
                    break
                }
            }
            close(descriptor)
            hasEnded.signal()
        }
        lock.withLock { self.thread = thread }
        thread.start()
    }

    /// The port is free afterwards.
    public func stop() {
        lock.lock()
        let (wasStopped, thread) = (isStopped, thread)
        isStopped = true
        lock.unlock()
        guard !wasStopped else { return }
        guard let thread else {
            close(descriptor)
            return
        }
        // The socket stops listening, and `accept` fails from now on.
        shutdown(descriptor, Int32(SHUT_RDWR))
        if thread !== Thread.current { _ = hasEnded.wait(timeout: .now() + 5) }
    }

    deinit { stop() }
}
