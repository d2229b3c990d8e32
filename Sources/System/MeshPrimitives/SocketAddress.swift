import Glibc

/// An IPv4 or IPv6 address with a port: plain data, in network order.
public struct SocketAddress: Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    public enum Family: UInt8, Sendable, BitwiseCopyable { case ipv4, ipv6 }

    public let family: Family
    public var port: UInt16
    /// The address, first byte first; IPv4 in the lowest four bytes of `low`.
    public let high, low: UInt64

    public init(family: Family, high: UInt64, low: UInt64, port: UInt16) {
        (self.family, self.high, self.low, self.port) = (family, high, low, port)
    }

    /// `a` is the first number of the dotted form.
    public init(ipv4 a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, port: UInt16) {
        let low = UInt64(a) << 24 | UInt64(b) << 16 | UInt64(c) << 8 | UInt64(d)
        self.init(family: .ipv4, high: 0, low: low, port: port)
    }

    /// A numeric address ("10.0.0.1", "::1"); nil for names and everything else.
    public init?(_ text: String, port: UInt16) {
        var four = in_addr()
        if unsafe inet_pton(AF_INET, text, &four) == 1 {
            self.init(family: .ipv4, high: 0, low: UInt64(UInt32(bigEndian: four.s_addr)), port: port)
            return
        }
        var six: (UInt64, UInt64) = (0, 0)
        guard unsafe inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        self.init(
            family: .ipv6, high: UInt64(bigEndian: six.0), low: UInt64(bigEndian: six.1), port: port)
    }

    /// The address in a `sockaddr_in` or `sockaddr_in6` at `place`, with port 0; nil for another family, or without one.
    @unsafe public init?(sockaddr place: UnsafeRawPointer?, family: Int32) {
        guard let place = unsafe place else { return nil }
        switch family {
        case AF_INET:
            let four = unsafe place.load(as: sockaddr_in.self)
            self.init(family: .ipv4, high: 0, low: UInt64(UInt32(bigEndian: four.sin_addr.s_addr)), port: 0)
        case AF_INET6:
            var six = unsafe place.load(as: sockaddr_in6.self).sin6_addr
            let words = unsafe withUnsafeBytes(of: &six) { bytes in
                unsafe (
                    bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                    bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                )
            }
            self.init(
                family: .ipv6, high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1), port: 0)
        default: return nil
        }
    }

    /// "ADDRESS:PORT", with an IPv6 address in brackets.
    public init?(hostPort text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.init(String(host), port: port)
    }

    public var isLoopback: Bool {
        switch family {
        case .ipv4: low >> 24 == 127
        case .ipv6: high == 0 && low == 1
        }
    }

    /// The address without its port.
    public var host: String {
        switch family {
        case .ipv4:
            return text(withPort: false)
        case .ipv6:
            var bytes = (high.bigEndian, low.bigEndian)
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            let size = socklen_t(text.count)
            guard unsafe inet_ntop(AF_INET6, &bytes, &text, size) != nil else { return "?" }
            return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }

    public var description: String { family == .ipv4 ? text(withPort: true) : "[\(host)]:\(port)" }

    /// Of IPv4. There are thousands of them in a large configuration.
    private func text(withPort: Bool) -> String {
        unsafe String(unsafeUninitializedCapacity: 21) { bytes in
            var count = 0
            func put(_ number: UInt32, then byte: UInt8?) {
                var power: UInt32 = 10_000
                while power > 1, number < power { power /= 10 }
                while power > 0 {
                    unsafe bytes[count] = 0x30 + UInt8(number / power % 10)
                    (count, power) = (count + 1, power / 10)
                }
                guard let byte else { return }
                unsafe bytes[count] = byte
                count += 1
            }
            for shift: UInt64 in [24, 16, 8] {
                put(UInt32(low >> shift & 255), then: UInt8(ascii: "."))
            }
            put(UInt32(low & 255), then: withPort ? UInt8(ascii: ":") : nil)
            if withPort { put(UInt32(port), then: nil) }
            return count
        }
    }
}
