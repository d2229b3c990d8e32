import MeshPrimitives

/// Everything of a session that nghttp2's callbacks reach: by a pointer, in accesses that end before nghttp2 is called
/// again, so that none of them overlap although nghttp2 calls back in the middle of ours.
@safe struct SessionState: ~Copyable {
    /// The bytes that `send` was given, for as long as it runs.
    struct Sending {
        var stream: Int32 = 0
        var bytes = ByteView("")
        var endsStream = false
    }

    enum HeadFate { case queued, sent, dropped }

    let isServer: Bool
    let settings: HTTP2Settings
    var streams = StreamTable()
    var events = EventQueue()
    var heads = HeadAssembler()
    var output = SessionOutput()
    var budget = FloodBudget()
    var sending = Sending()
    var headFate = HeadFate.dropped
    /// Streams wait for room in the output.
    var wasOutputFull = false
    /// Found in a callback, to be acted upon when nghttp2 has returned.
    var verdict: HTTP2ConnectionError?
    var failure: HTTP2ConnectionError?
    var goAwayReceived = false
    /// Of the caller's own GOAWAY.
    var goAwayCode: UInt32 = 0
    var peerStreamsMax = 100
    var malformedCount = 0
    /// Of the event that was taken last.
    var currentHead = -1
    var eventTag: UInt64 = 0

    init(isServer: Bool, settings: HTTP2Settings) {
        (self.isServer, self.settings) = (isServer, settings)
    }

    /// Bytes that `send` may still add to the output.
    var outputRoom: Int { settings.outputMax - output.pending }

    mutating func nextEvent() -> HTTP2Event? {
        guard let entry = events.pop() else { return nil }
        currentHead = entry.head
        eventTag = 0
        if entry.index >= 0 {
            eventTag = streams[entry.index].tag
            if case .closed = entry.event { streams.free(entry.index) }
        }
        return entry.event
    }

    /// All streams that wait, from the one behind the last that was woken first, may try again.
    mutating func wakeAll() {
        guard streams.blockedCount > 0 else { return }
        let count = streams.indices.count
        for step in 0..<count {
            let index = (wakeStart + step) % count
            wake(index)
        }
        wakeStart = (wakeStart + 1) % count
    }
    private var wakeStart = 0

    mutating func wake(_ index: Int) {
        guard streams[index].flags.contains(.blocked) else { return }
        streams.unblock(index)
        events.push(.windowOpened(stream: StreamID(rawValue: streams[index].stream)), index)
    }
}

/// Frames on their way out, in memory that is given back when they have been written.
struct SessionOutput: ~Copyable {
    private static let keptBytes = 4 << 10

    private var bytes = ByteArena()
    private var start = 0

    var pending: Int { bytes.count - start }
    /// Valid until the next append.
    var view: ByteView { bytes.view(start..<bytes.count) }

    mutating func append(_ more: ByteView) {
        tidy()
        bytes.append(more)
    }

    /// They are written, but their view lives on until the next append.
    mutating func markWritten(_ count: Int) {
        precondition(count >= 0 && count <= pending)
        start += count
    }

    mutating func tidy() {
        if start == bytes.count, start > 0 {
            bytes.removeAll(keeping: Self.keptBytes)
            start = 0
        } else if start >= 32 << 10 {
            bytes.removeFirst(start)
            start = 0
        }
    }
}
