import Foundation
import Synchronization

/// What happens in the mesh, for whoever looks on: numbered, the last ones kept for readers that come back.
public final class EventFeed: Sendable {
    public struct Event: Sendable, Equatable {
        /// From 1; without gaps.
        public let number: UInt64
        public let name: String
        /// JSON, in one line.
        public let data: String
    }

    /// What a reader gets.
    public enum Item: Sendable, Equatable {
        case event(Event)
        /// Events before this point are lost to the reader, who should ask for the state again.
        case gap
        /// Nothing happened; it shows that the feed is alive.
        case pulse
    }

    public static let readersMax = 100
    /// Events that are kept, and that a slow reader may be behind.
    static let keptMax = 512

    private struct Reader {
        let continuation: AsyncStream<Item>.Continuation
        /// An event was dropped since it was last told of a gap.
        var hasGap = false
    }

    private struct State {
        var count: UInt64 = 0
        var kept: [Event] = []
        var readers: [Int: Reader] = [:]
        var readerCount = 0
        var isClosed = false
    }

    private let state = Mutex(State())

    public init() {}

    /// Never waits: a reader that is too far behind gets `gap` instead of what it missed.
    public func publish(_ name: String, _ value: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return }
        state.withLock { state in
            guard !state.isClosed else { return }
            state.count += 1
            let event = Event(
                number: state.count, name: name, data: String(decoding: data, as: UTF8.self))
            if state.kept.count == Self.keptMax { state.kept.removeFirst() }
            state.kept.append(event)
            Self.give(.event(event), to: &state.readers)
        }
    }

    /// To be called every few seconds, so that readers and what lies between can tell silence from a broken connection.
    public func pulse() { state.withLock { Self.give(.pulse, to: &$0.readers) } }

    private static func give(_ item: Item, to readers: inout [Int: Reader]) {
        for (id, var reader) in readers {
            if reader.hasGap, case .dropped = reader.continuation.yield(.gap) { continue }
            reader.hasGap = false
            if case .dropped = reader.continuation.yield(item), item != .pulse { reader.hasGap = true }
            readers[id] = reader
        }
    }

    /// From now on, or what came after the event of this number; nil if there are too many readers, or it is closed.
    public func read(after last: UInt64? = nil) -> AsyncStream<Item>? {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Item.self, bufferingPolicy: .bufferingOldest(Self.keptMax + 1))
        let id: Int? = state.withLock { state in
            guard !state.isClosed, state.readers.count < Self.readersMax else { return nil }
            if let last {
                // A number beyond ours is of an earlier run.
                if last > state.count || last + 1 < state.kept.first?.number ?? (state.count + 1) {
                    continuation.yield(.gap)
                }
                for event in state.kept where event.number > last { continuation.yield(.event(event)) }
            }
            state.readerCount += 1
            state.readers[state.readerCount] = Reader(continuation: continuation)
            return state.readerCount
        }
        guard let id else { return nil }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.readers.removeValue(forKey: id) }
        }
        return stream
    }

    public var readerCount: Int { state.withLock { $0.readers.count } }

    /// Readers get what there is, and then the end.
    public func close() {
        let readers = state.withLock { state in
            state.isClosed = true
            defer { state.readers = [:] }
            return state.readers.values.map(\.continuation)
        }
        for reader in readers { reader.finish() }
    }
}
