import Glibc
import MeshPrimitives
import Synchronization

/// What a span needs of a request that its record has not.
public struct SpanHeader: Sendable, BitwiseCopyable {
    /// Number of the `SpanSettings`.
    public var settings: Int32
    public var isHTTPS: Bool
    /// 0: the span begins the trace.
    public var parentSpanID: UInt64

    public init(settings: Int32, isHTTPS: Bool, parentSpanID: UInt64) {
        (self.settings, self.isHTTPS, self.parentSpanID) = (settings, isHTTPS, parentSpanID)
    }
}

/// Texts that go with a request's record to the exporter.
public enum SpanText: UInt8, Sendable {
    case path, authority, userAgent, requestID, cluster, route, operation, downstreamCluster, clientTraceID
    case tracestate, grpcMessage
    /// Of the settings' tags the first one; others follow.
    case tag = 32

    /// Tags of one span.
    public static let tagsMax = 64
}

/// Requests that are over, on their way from one worker to the control thread, which makes spans of them: a queue of
/// bounded memory with one writer and one reader and no lock. What does not fit is dropped and counted.
@safe public final class SpanRing: @unchecked Sendable {
    /// Of one request. Texts that do not fit any more are left out.
    public static let entryBytesMax = 8 << 10
    /// Of one text; it is cut there.
    public static let textBytesMax = 1 << 10
    private static let recordBytes = (MemoryLayout<ExchangeRecord>.size + 7) & ~7
    /// Length of the entry and length of its record, then the header.
    private static let recordStart = 8 + (MemoryLayout<SpanHeader>.size + 7) & ~7

    public let capacity: Int
    private let memory: UnsafeMutableRawPointer
    /// Bytes ever written and taken; entries begin at multiples of 8 and do not wrap.
    private let written = Atomic<UInt64>(0)
    private let taken = Atomic<UInt64>(0)
    private let dropped = Atomic<UInt64>(0)

    /// `capacity`: bytes, a power of 2.
    public init(capacity: Int = 1 << 20) {
        precondition(capacity >= 2 * Self.entryBytesMax && capacity & (capacity - 1) == 0)
        self.capacity = capacity
        // Costs nothing until it is written to.
        unsafe memory = SparseMemory.allocate(capacity)
    }

    deinit { unsafe SparseMemory.free(memory, capacity) }

    /// Spans of requests that found no room, ever.
    public var droppedCount: UInt64 { dropped.load(ordering: .relaxed) }

    // MARK: The worker's side

    /// Begins an entry of which so many spans will be made; nil, counted, if the reader is behind. Nobody sees it before
    /// `commit`.
    public func begin(inPlace record: inout ExchangeRecord, _ header: SpanHeader, spans: Int = 1)
        -> SpanEntryWriter?
    {
        var start = written.load(ordering: .relaxed)
        let place = Int(start & UInt64(capacity - 1))
        let wraps = capacity - place < Self.entryBytesMax
        let end = start + UInt64(wraps ? capacity - place : 0) + UInt64(Self.entryBytesMax)
        guard end - taken.load(ordering: .acquiring) <= UInt64(capacity) else {
            dropped.store(dropped.load(ordering: .relaxed) &+ UInt64(spans), ordering: .relaxed)
            return nil
        }
        if wraps {
            // Length 0: the rest is left free. Eight bytes are there, since all lengths are multiples of 8.
            unsafe memory.storeBytes(of: 0, toByteOffset: place, as: UInt32.self)
            start += UInt64(capacity - place)
        }
        let base = unsafe memory + Int(start & UInt64(capacity - 1))
        let used = record.bytesUsed
        unsafe base.storeBytes(of: UInt32(used), toByteOffset: 4, as: UInt32.self)
        unsafe base.storeBytes(of: header, toByteOffset: 8, as: SpanHeader.self)
        unsafe withUnsafeBytes(of: &record) { bytes in
            guard let source = bytes.baseAddress else { return }
            unsafe memcpy(base + Self.recordStart, source, used)
        }
        let texts = (Self.recordStart + used + 7) & ~7
        return unsafe SpanEntryWriter(base: base, start: start, count: texts)
    }

    public func commit(_ writer: SpanEntryWriter) {
        let length = (writer.count + 7) & ~7
        unsafe writer.base.storeBytes(of: UInt32(length), as: UInt32.self)
        unsafe (writer.base + writer.count).initializeMemory(
            as: UInt8.self, repeating: 0, count: length - writer.count)
        written.store(writer.start + UInt64(length), ordering: .releasing)
    }

    // MARK: The reader's side

    /// Hands over what is there, oldest first, `max` at the most; how many there were. Views are valid during the call.
    @discardableResult public func take(_ max: Int = .max, _ body: (borrowing SpanEntry) -> Void) -> Int {
        let end = written.load(ordering: .acquiring)
        var position = taken.load(ordering: .relaxed)
        var count = 0
        while position < end, count < max {
            let place = Int(position & UInt64(capacity - 1))
            let base = unsafe memory + place
            let length = unsafe base.load(as: UInt32.self)
            if length == 0 {
                position += UInt64(capacity - place)
                continue
            }
            let used = unsafe Int(base.load(fromByteOffset: 4, as: UInt32.self))
            var record = ExchangeRecord()
            unsafe withUnsafeMutableBytes(of: &record) { bytes in
                guard let target = bytes.baseAddress else { return }
                unsafe memcpy(target, base + Self.recordStart, min(used, bytes.count))
            }
            let texts = (Self.recordStart + used + 7) & ~7
            let header = unsafe base.load(fromByteOffset: 8, as: SpanHeader.self)
            let view = unsafe ByteView(
                UnsafeRawBufferPointer(start: base + texts, count: Int(length) - texts))
            body(SpanEntry(header: header, record: record, texts: view))
            position += UInt64(length)
            count += 1
        }
        taken.store(position, ordering: .releasing)
        return count
    }
}

/// An entry that is being written, by the worker.
@safe public struct SpanEntryWriter {
    fileprivate let base: UnsafeMutableRawPointer
    fileprivate let start: UInt64
    fileprivate var count: Int

    @unsafe fileprivate init(base: UnsafeMutableRawPointer, start: UInt64, count: Int) {
        unsafe self.base = base
        (self.start, self.count) = (start, count)
    }

    public mutating func add(_ kind: SpanText, _ text: ByteView) { add(kind.rawValue, text) }

    /// Of the settings' tags that name a field the one with this number.
    public mutating func add(tag index: Int, _ text: ByteView) {
        guard index < SpanText.tagsMax else { return }
        add(SpanText.tag.rawValue + UInt8(index), text)
    }

    private mutating func add(_ kind: UInt8, _ text: ByteView) {
        let length = min(text.count, SpanRing.textBytesMax)
        guard length > 0, count + 3 + length <= SpanRing.entryBytesMax - 8 else { return }
        unsafe base.storeBytes(of: kind, toByteOffset: count, as: UInt8.self)
        unsafe base.storeBytes(of: UInt8(length & 0xff), toByteOffset: count + 1, as: UInt8.self)
        unsafe base.storeBytes(of: UInt8(length >> 8), toByteOffset: count + 2, as: UInt8.self)
        unsafe memcpy(base + count + 3, text.pointer, length)
        count += 3 + length
    }
}

/// A request as the exporter gets it.
public struct SpanEntry {
    public let header: SpanHeader
    public let record: ExchangeRecord
    private let texts: ByteView

    init(header: SpanHeader, record: ExchangeRecord, texts: ByteView) {
        (self.header, self.record, self.texts) = (header, record, texts)
    }

    /// nil: there is none.
    public func text(_ kind: SpanText) -> ByteView? { text(kind.rawValue) }

    public func tag(_ index: Int) -> ByteView? {
        index < SpanText.tagsMax ? text(SpanText.tag.rawValue + UInt8(index)) : nil
    }

    private func text(_ kind: UInt8) -> ByteView? {
        var rest = texts
        // What is behind the last text is zero, and so is no length.
        while rest.count > 3 {
            let length = Int(rest[1]) | Int(rest[2]) << 8
            guard length > 0, rest.count >= 3 + length else { return nil }
            if rest[0] == kind { return rest[3..<(3 + length)] }
            rest = rest.dropFirst(3 + length)
        }
        return nil
    }
}
