extension UInt8 {
    /// Of a hexadecimal digit, in upper or lower case: 0 to 15.
    @inlinable @inline(__always) public var hexValue: UInt8? {
        if self &- 0x30 < 10 { return self &- 0x30 }
        let letter = (self | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }
}

/// What the `%XX` at a place stands for (RFC 3986 section 2.1); nil if there is none.
@inlinable public func percentDecoded<Bytes: RandomAccessCollection<UInt8>>(
    _ bytes: Bytes, at index: Bytes.Index
) -> UInt8? {
    guard bytes.distance(from: index, to: bytes.endIndex) > 2, bytes[index] == 0x25,
        let high = bytes[bytes.index(index, offsetBy: 1)].hexValue,
        let low = bytes[bytes.index(index, offsetBy: 2)].hexValue
    else { return nil }
    return high << 4 | low
}
