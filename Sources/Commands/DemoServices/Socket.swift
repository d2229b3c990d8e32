import Glibc
import MeshPrimitives

/// Blocking TCP on IPv4 and IPv6.
enum Socket {
    /// A peer that says nothing for so long is given up.
    static let silenceMax = timeval(tv_sec: 120, tv_usec: 0)

    static func listen(at address: SocketAddress) throws(DemoError) -> CInt {
        let descriptor = try open(address)
        var yes: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        let bound = withSystemAddress(address) { Glibc.bind(descriptor, $0, $1) }
        guard bound == 0, Glibc.listen(descriptor, 512) == 0 else {
            let reason = lastSystemError()
            close(descriptor)
            throw DemoError("listen at \(address): \(reason)")
        }
        return descriptor
    }

    static func connect(to address: SocketAddress) throws(DemoError) -> CInt {
        let descriptor = try open(address)
        guard withSystemAddress(address, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let reason = lastSystemError()
            close(descriptor)
            throw DemoError("connect to \(address): \(reason)")
        }
        prepare(descriptor)
        return descriptor
    }

    /// No delay for small writes, and a bound on silence.
    static func prepare(_ descriptor: CInt) {
        var yes: CInt = 1
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
        var bound = silenceMax
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &bound, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &bound, socklen_t(MemoryLayout<timeval>.size))
    }

    /// The address that a listening socket got.
    static func address(of descriptor: CInt) throws(DemoError) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { throw DemoError("getsockname: \(lastSystemError())") }
        let family = CInt(storage.ss_family)
        return withUnsafeBytes(of: &storage) { bytes in
            if family == AF_INET {
                let four = bytes.loadUnaligned(as: sockaddr_in.self)
                return SocketAddress(
                    family: .ipv4, high: 0, low: UInt64(UInt32(bigEndian: four.sin_addr.s_addr)),
                    port: UInt16(bigEndian: four.sin_port))
            }
            let six = bytes.loadUnaligned(as: sockaddr_in6.self)
            let parts = withUnsafeBytes(of: six.sin6_addr) { $0.loadUnaligned(as: (UInt64, UInt64).self) }
            return SocketAddress(
                family: .ipv6, high: UInt64(bigEndian: parts.0), low: UInt64(bigEndian: parts.1),
                port: UInt16(bigEndian: six.sin6_port))
        }
    }

    /// False when the peer is gone.
    static func write(_ bytes: [UInt8], to descriptor: CInt) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                send(descriptor, buffer.baseAddress?.advanced(by: sent), buffer.count - sent, 0)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    private static func open(_ address: SocketAddress) throws(DemoError) -> CInt {
        let family = address.family == .ipv4 ? AF_INET : AF_INET6
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw DemoError("socket: \(lastSystemError())") }
        return descriptor
    }

    private static func withSystemAddress<T>(
        _ address: SocketAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T
    ) -> T {
        switch address.family {
        case .ipv4:
            var four = sockaddr_in()
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = address.port.bigEndian
            four.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
            return rebind(&four, body)
        case .ipv6:
            var six = sockaddr_in6()
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = address.port.bigEndian
            withUnsafeMutableBytes(of: &six.sin6_addr) {
                $0.storeBytes(of: address.high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return rebind(&six, body)
        }
    }

    private static func rebind<A, T>(_ value: inout A, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T
    {
        withUnsafePointer(to: &value) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<A>.size))
            }
        }
    }
}
