import MeshPrimitives

/// The `grpc-timeout` field: one to eight digits and a unit (gRPC over HTTP/2, "Requests").
public enum GRPCTimeout {
    /// Digits and unit of a value: never more than nine bytes.
    public static let bytesMax = 9

    /// Nanoseconds, saturating; nil if the value is not one.
    public static func parse(_ value: ByteView) -> Int64? {
        guard value.count >= 2, value.count <= bytesMax, let number = value.prefix(value.count - 1).decimal,
            let unit = nanoseconds(unit: value[value.count - 1])
        else { return nil }
        let (product, isOverflow) = Int64(number).multipliedReportingOverflow(by: unit)
        return isOverflow ? .max : product
    }

    /// Number and unit of the nearest value that is no longer than `nanoseconds`, as fine as eight digits allow.
    public static func value(of nanoseconds: Int64) -> (number: Int, unit: UInt8) {
        let units: InlineArray<6, (Int64, UInt8)> = [
            (1, UInt8(ascii: "n")), (1_000, UInt8(ascii: "u")), (1_000_000, UInt8(ascii: "m")),
            (1_000_000_000, UInt8(ascii: "S")), (60_000_000_000, UInt8(ascii: "M")),
            (3_600_000_000_000, UInt8(ascii: "H")),
        ]
        let nanoseconds = max(0, nanoseconds)
        for index in 0..<6 {
            let (length, letter) = units[index]
            let number = nanoseconds / length
            if number <= 99_999_999 { return (Int(number), letter) }
        }
        return (99_999_999, UInt8(ascii: "H"))
    }

    /// false if there is no room.
    public static func append(_ nanoseconds: Int64, to buffer: inout PooledBuffer) -> Bool {
        let (number, unit) = value(of: nanoseconds)
        return buffer.append(decimal: number) && buffer.append(unit)
    }

    private static func nanoseconds(unit: UInt8) -> Int64? {
        switch unit {
        case UInt8(ascii: "n"): 1
        case UInt8(ascii: "u"): 1_000
        case UInt8(ascii: "m"): 1_000_000
        case UInt8(ascii: "S"): 1_000_000_000
        case UInt8(ascii: "M"): 60_000_000_000
        case UInt8(ascii: "H"): 3_600_000_000_000
        default: nil
        }
    }
}
