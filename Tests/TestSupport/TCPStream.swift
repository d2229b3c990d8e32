import Foundation

/// A blocking TCP connection to or from the loopback interface, with a buffer for what came. Every wait has a bound.
public final class TCPStream: @unchecked Sendable {
    private static let noSignal = Int32(0x4000)  // MSG_NOSIGNAL, which is imported in another type
    private let descriptor: Int32
    private let lock = NSLock()
    private var isClosed = false
    private var buffer: [UInt8] = []
    /// Seconds that one read may take.
    public var patience = 10.0

    public init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = Self.loopback(port)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let reason = String(cString: strerror(errno))
            Glibc.close(descriptor)
            isClosed = true
            throw TestFailure("connect to port \(port): \(reason)")
        }
        noDelay()
    }

    public init(adopting descriptor: Int32) {
        self.descriptor = descriptor
        noDelay()
    }

    deinit { close() }

    static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private func noDelay() {
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    public func send(_ text: String) throws { try send(Array(text.utf8)) }

    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Self.noSignal)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw TestFailure(
                    "send after \(sent) of \(bytes.count) bytes: \(String(cString: strerror(errno)))")
            }
            sent += count
        }
    }

    /// Ends our direction; the other stays open.
    public func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    public func close() {
        lock.lock()
        defer { lock.unlock() }
        if !isClosed { Glibc.close(descriptor) }
        isClosed = true
    }

    /// Wakes whoever waits on this stream; it then sees the end. The descriptor stays its owner's to close: another
    /// thread that waits with it would else wait on whatever gets its number next.
    func interrupt() {
        lock.withLock { if !isClosed { shutdown(descriptor, Int32(SHUT_RDWR)) } }
    }

    /// Ends the connection with a RST at once; the descriptor stays, as with `interrupt`.
    public func reset() {
        lock.withLock {
            guard !isClosed else { return }
            // To connect to no address is how TCP is told to abort (connect(2), AF_UNSPEC).
            var nobody = sockaddr()
            nobody.sa_family = sa_family_t(AF_UNSPEC)
            connect(descriptor, &nobody, socklen_t(MemoryLayout<sockaddr>.size))
        }
    }

    /// Bytes not yet asked for.
    public var pending: [UInt8] { buffer }

    /// Reads what comes next into the buffer: false at the end of the stream or after a reset.
    func fill() throws -> Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let ready = poll(&waiting, 1, Int32(patience * 1000))
        guard ready != 0 else {
            let seen = String(decoding: buffer.prefix(200), as: UTF8.self)
            throw TestFailure("nothing came for \(patience) s; unread so far: \"\(seen)\"")
        }
        var piece = [UInt8](repeating: 0, count: 256 << 10)
        let count = recv(descriptor, &piece, piece.count, 0)
        if count < 0 && errno == EINTR { return true }
        guard count > 0 else { return false }
        buffer += piece[..<count]
        return true
    }

    /// Everything up to the end of the stream.
    public func readToEnd() throws -> [UInt8] {
        while try fill() {}
        defer { buffer = [] }
        return buffer
    }

    /// Whether the peer ends the connection within `seconds`; what came before stays unread.
    public func isEnded(within seconds: Double) -> Bool {
        let before = patience
        defer { patience = before }
        patience = seconds
        do {
            while try fill() {}
            return true
        } catch {
            return false
        }
    }

    /// Reads and forgets what comes, up to `count` bytes; gives the number read.
    public func discard(_ count: Int) throws -> Int {
        var left = count
        while left > 0 {
            if buffer.isEmpty { guard try fill() else { break } }
            let now = min(left, buffer.count)
            if now == buffer.count {
                buffer.removeAll(keepingCapacity: true)
            } else {
                buffer.removeFirst(now)
            }
            left -= now
        }
        return count - left
    }

    /// Up to and with the first `mark`; nil at the end of the stream.
    public func read(through mark: [UInt8]) throws -> [UInt8]? {
        var start = 0
        while true {
            if let end = find(mark, from: start) {
                defer { buffer.removeFirst(end) }
                return Array(buffer[..<end])
            }
            start = max(0, buffer.count - mark.count + 1)
            guard try fill() else { return nil }
        }
    }

    public func read(_ count: Int) throws -> [UInt8]? {
        while buffer.count < count { guard try fill() else { return nil } }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    private func find(_ mark: [UInt8], from start: Int) -> Int? {
        guard buffer.count >= mark.count, let first = mark.first else { return nil }
        var index = start
        while let found = buffer[index...].firstIndex(of: first) {
            guard found + mark.count <= buffer.count else { return nil }
            if buffer[found..<found + mark.count].elementsEqual(mark) { return found + mark.count }
            index = found + 1
        }
        return nil
    }
}
