import Glibc
import MeshPrimitives
import Synchronization

/// The last requests of one worker. The worker writes, anybody may read at any time: a slot that is being written while
/// it is read is left out (a sequence lock for each slot).
@safe public final class FlightRecorder: @unchecked Sendable {
    private static var wordsPerRecord: Int { (MemoryLayout<ExchangeRecord>.size + 7) / 8 }
    /// Of a record with one attempt. What further ones add lies apart, so that it takes memory where there were some.
    private static var wordsPerStart: Int { (ExchangeRecord.bytesWithOneAttempt + 7) / 8 }
    /// A slot's sequence number, then the start of its record.
    private static var wordsPerSlot: Int { wordsPerStart + 1 }
    private static var wordsPerRest: Int { wordsPerRecord - wordsPerStart }

    /// Requests that are kept.
    public let capacity: Int
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let rests: UnsafeMutablePointer<Atomic<UInt64>>
    private let written = Atomic<UInt64>(0)

    public init(capacity: Int = 1024) {
        precondition(capacity > 0 && capacity <= 1 << 20)
        self.capacity = capacity
        unsafe words = Self.zeros(capacity * Self.wordsPerSlot)
        unsafe rests = Self.zeros(capacity * Self.wordsPerRest)
    }

    deinit {
        unsafe SparseMemory.free(words, Self.size(capacity * Self.wordsPerSlot))
        unsafe SparseMemory.free(rests, Self.size(capacity * Self.wordsPerRest))
    }

    private static func size(_ words: Int) -> Int { words * MemoryLayout<Atomic<UInt64>>.stride }

    /// Zeroed memory is what an `Atomic` of 0 looks like, and costs nothing until requests come.
    private static func zeros(_ count: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe SparseMemory.allocate(size(count)).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// For the one thread whose recorder this is.
    public func append(_ record: ExchangeRecord) {
        var record = record
        append(inPlace: &record)
    }

    /// The same of a record that is read where it is: it is too large to be handed over.
    public func append(inPlace record: inout ExchangeRecord) {
        let number = written.load(ordering: .relaxed)
        let used = record.bytesUsed
        let place = Int(number % UInt64(capacity))
        let slot = unsafe words + place * Self.wordsPerSlot
        let start = Self.wordsPerStart * 8
        // Odd while the slot is written; never the same for two records.
        unsafe slot[0].store(number &* 2 &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
        unsafe withUnsafeBytes(of: &record) { bytes in
            // Halves of it may be seen: whoever does so finds the sequence changed and drops what it has.
            guard let base = bytes.baseAddress else { return }
            if used <= start {
                unsafe memcpy(slot + 1, base, used)
            } else {
                unsafe memcpy(slot + 1, base, start)
                unsafe memcpy(rests + place * Self.wordsPerRest, base + start, used - start)
            }
        }
        unsafe slot[0].store(number &* 2 &+ 2, ordering: .releasing)
        written.store(number &+ 1, ordering: .releasing)
    }

    /// Requests recorded since the start, kept or not.
    public var count: UInt64 { written.load(ordering: .acquiring) }

    /// The last ones, newest first, `max` at the most.
    public func newest(_ max: Int = .max) -> [ExchangeRecord] {
        var records: [ExchangeRecord] = []
        forEachNewest(max) { record in
            records.append(record)
            return true
        }
        return records
    }

    /// The newest request with that id.
    public func find(_ id: RequestID) -> ExchangeRecord? {
        var found: ExchangeRecord?
        forEachNewest(.max) { record in
            if record.requestID == id { found = record }
            return found == nil
        }
        return found
    }

    /// Until `body` answers false.
    public func forEachNewest(_ max: Int, _ body: (ExchangeRecord) -> Bool) {
        let end = count
        for age in 1...UInt64(capacity) where age <= end && age <= UInt64(clamping: max) {
            if let record = read(end - age), !body(record) { return }
        }
    }

    /// nil if another one has taken its place.
    private func read(_ number: UInt64) -> ExchangeRecord? {
        let place = Int(number % UInt64(capacity))
        let slot = unsafe words + place * Self.wordsPerSlot
        let rest = unsafe rests + place * Self.wordsPerRest
        let sequence = number &* 2 &+ 2
        guard unsafe slot[0].load(ordering: .acquiring) == sequence else { return nil }
        return unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.wordsPerRecord) {
            buffer in
            for word in 0..<Self.wordsPerStart {
                unsafe buffer[word] = slot[word + 1].load(ordering: .relaxed)
            }
            // Of one with fewer attempts whatever another one left, which nobody looks at.
            for word in 0..<Self.wordsPerRest {
                unsafe buffer[Self.wordsPerStart + word] = rest[word].load(ordering: .relaxed)
            }
            atomicMemoryFence(ordering: .acquiring)
            guard unsafe slot[0].load(ordering: .relaxed) == sequence else { return nil }
            return unsafe UnsafeRawBufferPointer(buffer).load(as: ExchangeRecord.self)
        }
    }
}
