/// What a session remembers of one stream.
struct StreamRecord: BitwiseCopyable {
    struct Flags: OptionSet {
        let rawValue: UInt16
        /// The caller knows of the stream, and will be told when it is closed.
        static let announced = Flags(rawValue: 1 << 0)
        /// The final head came in.
        static let headReceived = Flags(rawValue: 1 << 1)
        /// The final head went out.
        static let headSent = Flags(rawValue: 1 << 2)
        /// Our side has ended, or will by itself as soon as the window allows it.
        static let ended = Flags(rawValue: 1 << 3)
        /// nghttp2 holds a DATA item, and will ask for its bytes.
        static let hasItem = Flags(rawValue: 1 << 4)
        /// `send` accepted less than it was given.
        static let blocked = Flags(rawValue: 1 << 5)
        /// Whatever comes now is dropped.
        static let deaf = Flags(rawValue: 1 << 6)
        /// A `reset` was reported or asked for.
        static let resetKnown = Flags(rawValue: 1 << 7)
        static let requestIsHead = Flags(rawValue: 1 << 8)
        static let requestIsConnect = Flags(rawValue: 1 << 9)
    }

    var stream: Int32 = 0
    var nextFree: Int32 = -1
    var flags: Flags = []
    var tag: UInt64 = 0
    /// Bytes of body that `content-length` promises; -1 if it says nothing.
    var bodyExpected: Int64 = -1
    var bodyReceived: Int64 = 0
    /// Bytes that the caller was given and has not consumed.
    var unconsumed = 0
}

/// The records of a session's streams, by index; nghttp2 keeps the index with its stream. As large as the most
/// streams that were open or unreported at a time, which settings and `FloodBudget` bound.
struct StreamTable {
    private var records: [StreamRecord] = []
    private var firstFree: Int32 = -1
    var openCount = 0
    var blockedCount = 0

    var indices: Range<Int> { records.indices }

    subscript(_ index: Int) -> StreamRecord {
        get { records[index] }
        _modify { yield &records[index] }
    }

    mutating func take(stream: Int32) -> Int {
        let record = StreamRecord(stream: stream)
        openCount += 1
        if firstFree >= 0 {
            let index = Int(firstFree)
            firstFree = records[index].nextFree
            records[index] = record
            return index
        }
        records.append(record)
        return records.count - 1
    }

    /// The stream is gone, but its record is still to be reported.
    mutating func close(_ index: Int) {
        openCount -= 1
        unblock(index)
    }

    mutating func free(_ index: Int) {
        records[index] = StreamRecord(stream: 0, nextFree: firstFree)
        firstFree = Int32(index)
    }

    mutating func block(_ index: Int) {
        guard !records[index].flags.contains(.blocked) else { return }
        records[index].flags.insert(.blocked)
        blockedCount += 1
    }

    mutating func unblock(_ index: Int) {
        guard records[index].flags.contains(.blocked) else { return }
        records[index].flags.remove(.blocked)
        blockedCount -= 1
    }
}
