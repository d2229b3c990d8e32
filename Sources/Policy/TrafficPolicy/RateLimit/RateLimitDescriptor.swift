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
public struct RequestDescriptor: ~Copyable {
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

    private struct Row: Sendable, BitwiseCopyable {
        let hash: UInt64
        /// In `parts`.
        let first: Int
        let count: Int
        let index: Int
    }

    private struct Part: Sendable, BitwiseCopyable {
        let key: UInt32
        /// In `bytes`.
        let start: Int
        let count: Int
    }

    let seed: UInt64
    /// What it was made with, for another table like it.
    public var secret: UInt64 { seed }
    /// Of powers of two, at most half full; -1: free.
    private let places: [Int32]
    private let rows: [Row]
    private let parts: [Part]
    private let bytes: [UInt8]
    /// Those with a value that may be any: few, and looked at one after the other.
    let wildcards: [(entries: [Entry], index: Int)]

    /// - Parameters:
    ///   - descriptors: in the order of the configuration; their indices are what is found.
    ///   - seed: secret, so that no caller can make values that collide.
    public init(_ descriptors: [[Entry]], seed: UInt64) {
        self.seed = seed
        var rows: [Row] = []
        var parts: [Part] = []
        var bytes: [UInt8] = []
        var wildcards: [(entries: [Entry], index: Int)] = []
        for (index, entries) in descriptors.enumerated() {
            if entries.contains(where: { $0.value == nil }) {
                wildcards.append((entries, index))
                continue
            }
            var hash = seed
            let first = parts.count
            for entry in entries {
                let value = Array((entry.value ?? "").utf8)
                parts.append(Part(key: entry.key, start: bytes.count, count: value.count))
                bytes += value
                hash = value.withByteView { Self.hash(hash, entry.key, $0) }
            }
            rows.append(Row(hash: hash, first: first, count: entries.count, index: index))
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
        (self.parts, self.bytes) = (parts, bytes)
    }

    /// Index of the configured descriptor that is just this one; of two that are equal the first.
    public func index(of descriptor: borrowing @_addressable RequestDescriptor) -> Int? {
        if rows.isEmpty { return nil }
        var place = Int(descriptor.hash & UInt64(places.count - 1))
        while places[place] >= 0 {
            let row = rows[Int(places[place])]
            if row.hash == descriptor.hash, isEqual(row, descriptor) { return row.index }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private func isEqual(_ row: Row, _ descriptor: borrowing @_addressable RequestDescriptor) -> Bool {
        guard row.count == descriptor.count else { return false }
        for index in 0..<row.count {
            let (part, value) = (parts[row.first + index], descriptor.values[index])
            guard part.key == descriptor.keys[index], part.count == value.count else { return false }
            let isSame = bytes.withByteView { $0[part.start..<(part.start + part.count)].equals(value) }
            if !isSame { return false }
        }
        return true
    }

    /// The first configured descriptor with an open value that this one fits.
    public func wildcard(of descriptor: borrowing @_addressable RequestDescriptor) -> Int? {
        for (entries, index) in wildcards where entries.count == descriptor.count {
            var fits = true
            for place in 0..<descriptor.count where fits {
                fits = entries[place].key == descriptor.keys[place]
                if fits, let value = entries[place].value {
                    let wanted = descriptor.values[place]
                    fits = value.withByteView { $0.equals(wanted) }
                }
            }
            if fits { return index }
        }
        return nil
    }

    static func hash(_ hash: UInt64, _ key: UInt32, _ value: ByteView) -> UInt64 {
        StableHash.xxHash64(value, seed: hash ^ UInt64(key) &* 0x9e37_79b1_85eb_ca87)
    }
}

/// The descriptors of one request that have buckets, in the order of their rates; at most eight, further ones are not
/// looked at. It borrows nothing.
public struct DescriptorMatches: ~Copyable {
    struct Match: Sendable, BitwiseCopyable {
        var index: Int32 = 0
        var isOpen = false
        var tokensPerNanosecond = 0.0
        /// The whole of the descriptor as one number, for buckets that are made as values come.
        var identity: UInt64 = 0
        /// Tokens that it takes.
        var hits: UInt32 = 1
    }

    private(set) var matches = InlineArray<8, Match>(repeating: Match())
    private(set) var count = 0

    public init() {}

    /// Looks a descriptor up in the limit's table; it will take so many tokens (`hits_addend`).
    public mutating func add(
        _ descriptor: borrowing @_addressable RequestDescriptor, in limit: DescriptorRateLimit,
        hits: UInt32 = 1
    ) {
        guard count < 8 else { return }
        var match = Match()
        match.hits = hits
        if let index = limit.table.index(of: descriptor) {
            match.index = Int32(index)
        } else if !limit.table.wildcards.isEmpty, let index = limit.table.wildcard(of: descriptor) {
            (match.index, match.isOpen, match.identity) = (Int32(index), true, descriptor.hash)
        } else {
            return
        }
        match.tokensPerNanosecond = limit.tokensPerNanosecond(Int(match.index))
        var place = count
        while place > 0, match.tokensPerNanosecond < matches[place - 1].tokensPerNanosecond {
            matches[place] = matches[place - 1]
            place -= 1
        }
        matches[place] = match
        count += 1
    }
}
