import MeshPrimitives

/// Names of descriptor keys, each with a number: configurations are compiled with them, and requests never see the text.
/// One for each configuration.
public struct DescriptorKeys: Sendable {
    private var numbers: [String: UInt32] = [:]

    public init() {}

    public mutating func number(_ name: String) -> UInt32 {
        if let known = numbers[name] { return known }
        let number = UInt32(numbers.count)
        numbers[name] = number
        return number
    }
}

/// What one `RateLimit` of a route made of a request: pairs of key and value in the order of its actions, at most ten. It
/// borrows the values' bytes and is dead with them. Each value is hashed once, while it is added.
public struct RequestDescriptor: BitwiseCopyable {
    public static let entriesMax = 10

    fileprivate var keys = InlineArray<10, UInt32>(repeating: 0)
    fileprivate var values = InlineArray<10, ByteView>(repeating: ByteView(""))
    public private(set) var count = 0
    fileprivate var hash: UInt64

    /// - Parameter table: the one that it will be looked up in.
    public init(for table: DescriptorTable) { hash = table.seed }

    /// false if there is no room: then there is no descriptor, as if an action had not applied.
    public mutating func append(_ key: UInt32, _ value: ByteView) -> Bool {
        guard count < Self.entriesMax else { return false }
        (keys[count], values[count]) = (key, value)
        count += 1
        hash = DescriptorTable.hash(hash, key, value)
        return true
    }
}

/// The descriptors that have limits of their own (`LocalRateLimitDescriptor`), found with one look at a table: the
/// request's values are hashed while they are collected, and compared once with those that are found. Immutable.
public final class DescriptorTable: Sendable {
    public struct Entry: Equatable, Sendable {
        public let key: UInt32
        /// nil: any value, and each has a bucket of its own.
        public let value: String?

        public init(_ key: UInt32, _ value: String?) { (self.key, self.value) = (key, value) }
    }

    private struct Row: Sendable {
        let hash: UInt64
        let keys: [UInt32]
        let values: [[UInt8]]
        let index: Int
    }

    let seed: UInt64
    /// Of powers of two, at most half full; -1: free.
    private let places: [Int32]
    private let rows: [Row]
    /// Those with a value that may be any: few, and looked at one after the other.
    let wildcards: [(entries: [Entry], index: Int)]

    /// - Parameters:
    ///   - descriptors: in the order of the configuration; their indices are what is found.
    ///   - seed: secret, so that no caller can make values that collide.
    public init(_ descriptors: [[Entry]], seed: UInt64) {
        self.seed = seed
        var rows: [Row] = []
        var wildcards: [(entries: [Entry], index: Int)] = []
        for (index, entries) in descriptors.enumerated() {
            if entries.contains(where: { $0.value == nil }) {
                wildcards.append((entries, index))
                continue
            }
            let values = entries.map { Array(($0.value ?? "").utf8) }
            var hash = seed
            for (entry, value) in zip(entries, values) {
                hash = value.withByteView { Self.hash(hash, entry.key, $0) }
            }
            rows.append(Row(hash: hash, keys: entries.map(\.key), values: values, index: index))
        }
        var size = 4
        while size < rows.count * 2 { size *= 2 }
        var places = [Int32](repeating: -1, count: size)
        for (number, row) in rows.enumerated() {
            var place = Int(row.hash & UInt64(size - 1))
            while places[place] >= 0 { place = (place + 1) & (size - 1) }
            places[place] = Int32(number)
        }
        (self.places, self.rows, self.wildcards) = (places, rows, wildcards)
    }

    /// Index of the configured descriptor that is just this one; of two that are equal the first.
    public func index(of descriptor: RequestDescriptor) -> Int? {
        if rows.isEmpty { return nil }
        var place = Int(descriptor.hash & UInt64(places.count - 1))
        while places[place] >= 0 {
            let number = Int(places[place])
            if rows[number].hash == descriptor.hash, isEqual(number, descriptor) { return rows[number].index }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private func isEqual(_ number: Int, _ descriptor: RequestDescriptor) -> Bool {
        guard rows[number].keys.count == descriptor.count else { return false }
        for index in 0..<descriptor.count {
            guard rows[number].keys[index] == descriptor.keys[index] else { return false }
            guard rows[number].values[index].withByteView({ $0.equals(descriptor.values[index]) }) else {
                return false
            }
        }
        return true
    }

    /// The first configured descriptor with an open value that this one fits.
    public func wildcard(of descriptor: RequestDescriptor) -> Int? {
        for (entries, index) in wildcards where entries.count == descriptor.count {
            var fits = true
            for place in 0..<descriptor.count where fits {
                fits = entries[place].key == descriptor.keys[place]
                if fits, let value = entries[place].value {
                    fits = value.withByteView { $0.equals(descriptor.values[place]) }
                }
            }
            if fits { return index }
        }
        return nil
    }

    static func hash(_ hash: UInt64, _ key: UInt32, _ value: ByteView) -> UInt64 {
        StableHash.xxHash64(value, seed: hash ^ UInt64(key) &* 0x9e37_79b1_85eb_ca87)
    }

    /// The whole of a descriptor as one number, for buckets that are made as values come.
    static func identity(of descriptor: RequestDescriptor) -> UInt64 { descriptor.hash }
}
