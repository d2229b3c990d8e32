/// Events in the order in which they happened, each with the index of its stream's record and the head it is about.
/// Emptied by its reader each time, so it is bounded by what one `receive` can contain.
struct EventQueue {
    struct Entry: BitwiseCopyable {
        var event: HTTP2Event
        /// Index of the stream's record; -1 for those of the whole connection.
        var index: Int
        /// Index into `heads`; -1 if there is none.
        var head = -1
    }

    private var entries: [Entry] = []
    private var next = 0
    private(set) var heads: [HeadRecord] = []
    /// Events that point to bytes of the current `receive`.
    private(set) var viewCount = 0

    mutating func push(_ event: HTTP2Event, _ index: Int) {
        if case .data = event { viewCount += 1 }
        entries.append(Entry(event: event, index: index))
    }

    mutating func push(_ event: HTTP2Event, _ index: Int, head: HeadRecord) {
        viewCount += 1
        entries.append(Entry(event: event, index: index, head: heads.count))
        heads.append(head)
    }

    /// Marks the last event as its stream's end, if it is one of its data.
    mutating func endWithLastData(of stream: Int32) -> Bool {
        guard next < entries.count, case .data(let id, let bytes, false) = entries[entries.count - 1].event,
            id.rawValue == stream
        else { return false }
        entries[entries.count - 1].event = .data(stream: id, bytes: bytes, endsStream: true)
        return true
    }

    mutating func pop() -> Entry? {
        guard next < entries.count else {
            if next > 0 { clear() }
            return nil
        }
        let entry = entries[next]
        next += 1
        switch entry.event {
        case .data, .head, .informational, .trailers: viewCount -= 1
        case .headTooLarge, .ended, .reset, .closed, .windowOpened, .settings, .goAway, .pingAcknowledged:
            break
        }
        return entry
    }

    /// Heads that were delivered are gone with the `receive` that they came in.
    mutating func forgetHeads() { heads.removeAll(keepingCapacity: heads.capacity <= 128) }

    private mutating func clear() {
        entries.removeAll(keepingCapacity: entries.capacity <= 256)
        next = 0
    }
}
