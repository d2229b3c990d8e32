import MeshPrimitives

/// The addresses that proxies on the way have written into `x-forwarded-for`, the nearest one's last.
struct ForwardedFor {
    /// Of all such fields, joined by commas.
    let list: ByteView

    init(_ list: ByteView) { self.list = list }

    /// The address before the last `hops` ones. nil: there are not that many, or what stands there is no address; one
    /// with a port is none.
    func address(before hops: Int) -> SocketAddress? {
        var rest = list
        for _ in 0..<hops {
            guard let comma = rest.lastIndex(of: UInt8(ascii: ",")) else { return nil }
            rest = rest.prefix(comma)
        }
        if let comma = rest.lastIndex(of: UInt8(ascii: ",")) { rest = rest.dropFirst(comma + 1) }
        return SocketAddress(numeric: rest.trimmed)
    }

    /// There is one address: nobody but the caller's neighbour has spoken.
    var isSingle: Bool { list.lastIndex(of: UInt8(ascii: ",")) == nil }
}

extension SocketAddress {
    /// A numeric address without a port. IPv4 is read here; an IPv6 address may cost an allocation.
    init?(numeric text: ByteView) {
        guard !text.isEmpty, text.count <= 45 else { return nil }
        if text.firstIndex(of: UInt8(ascii: ":")) != nil {
            self.init(String(decoding: text.bytes, as: UTF8.self), port: 0)
            return
        }
        var (parts, value, digits): (Int, UInt64, Int) = (0, 0, 0)
        var address: UInt64 = 0
        for index in 0...text.count {
            if index == text.count || text[index] == UInt8(ascii: ".") {
                guard digits > 0, parts < 4 else { return nil }
                address = address << 8 | value
                (parts, value, digits) = (parts + 1, 0, 0)
                continue
            }
            // Like inet_pton: decimal, without leading zeros.
            guard case 0x30...0x39 = text[index], digits == 0 || value > 0 else { return nil }
            value = value * 10 + UInt64(text[index] - 0x30)
            digits += 1
            guard value <= 255 else { return nil }
        }
        guard parts == 4 else { return nil }
        self.init(family: .ipv4, high: 0, low: address, port: 0)
    }
}
