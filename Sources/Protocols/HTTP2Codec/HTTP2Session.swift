import CNGHTTP2
import HTTPModel
import MeshPrimitives

/// One HTTP/2 connection without its socket: received bytes go in, events come out; what is submitted comes out as
/// bytes to write. Confined to one thread. It may be dropped at any time, with streams open.
///
/// After each call of `receive` and of `outputWritten` take all events; after each turn of submitting take the output.
/// Nothing calls back. All functions that name a stream do nothing, and say so, if the stream is gone.
@safe public final class HTTP2Session {
    public enum Role: Sendable { case server, client }

    public enum ReceiveResult: Equatable, Sendable {
        case accepted
        /// Take what events there are, write the output, then close. Streams that are open get no `closed` any more.
        case failed(HTTP2ConnectionError)
    }

    public enum GoAway: Sendable {
        /// Says that there will be a `last` soon (RFC 9113 section 6.8): the peer stops opening streams by itself.
        case notice
        /// No stream after those that were seen is accepted; these go on.
        case last(HTTP2ErrorCode)
        /// Nothing is sent after it.
        case now(HTTP2ErrorCode)
    }

    /// Output above this, beyond `outputMax`, is a peer that sends and does not read.
    private static let overheadMax = 256 << 10

    private let session: OpaquePointer
    private let state: UnsafeMutablePointer<SessionState>
    private let memory: HTTP2Memory

    /// `memory` is what the sessions of this thread share. nil only if memory is short.
    public init?(role: Role, settings: HTTP2Settings, memory: HTTP2Memory = HTTP2Memory()) {
        self.memory = memory
        let state = UnsafeMutablePointer<SessionState>.allocate(capacity: 1)
        unsafe state.initialize(to: SessionState(isServer: role == .server, settings: settings))
        guard
            let session = unsafe NGHTTP2.makeSession(
                role: role, settings: settings, state: state, memory: memory)
        else {
            unsafe state.deinitialize(count: 1)
            unsafe state.deallocate()
            return nil
        }
        unsafe (self.session, self.state) = (session, state)
    }

    deinit {
        unsafe nghttp2_session_del(session)
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    public var role: Role { unsafe state.pointee.isServer ? .server : .client }
}

// Bytes in.
extension HTTP2Session {
    /// Takes all of `bytes`. The events that this makes point into them: take all events before `bytes` change and before
    /// the next `receive`. `now` only fills flood budgets.
    public func receive(_ bytes: ByteView, now: MonotonicInstant) -> ReceiveResult {
        if let failure = unsafe state.pointee.failure { return .failed(failure) }
        unsafe precondition(state.pointee.events.viewCount == 0, "events were left behind")
        unsafe state.pointee.currentHead = -1
        unsafe state.pointee.events.forgetHeads()
        unsafe state.pointee.heads.forgetFinished()
        unsafe state.pointee.budget.advance(to: now)
        if unsafe state.pointee.output.pending > state.pointee.settings.outputMax + Self.overheadMax {
            return .failed(fail(.enhanceYourCalm, .outputFull))
        }
        let taken = unsafe nghttp2_session_mem_recv(session, bytes.pointer, bytes.count)
        if let verdict = unsafe state.pointee.verdict { return .failed(fail(verdict.code, verdict.reason)) }
        if taken < 0 { return .failed(fail(libraryError: taken)) }
        if unsafe nghttp2_session_want_write(session) != 0 { pump() }
        if let failure = unsafe state.pointee.failure { return .failed(failure) }
        return .accepted
    }

    /// The next thing that happened, nil if there is none.
    public func nextEvent() -> HTTP2Event? {
        unsafe state.pointee.nextEvent()
    }

    /// The tag of the stream of the last event; 0 for events of the whole connection.
    public var eventTag: UInt64 { unsafe state.pointee.eventTag }

    /// The head or trailer section of the last event: its index goes into `head`, its bytes are valid until the next
    /// `receive`. nil if the last event was about something else.
    public func readHead(into head: inout MessageHead) -> ByteView? {
        let index = unsafe state.pointee.currentHead
        guard index >= 0 else { return nil }
        return unsafe state.pointee.heads.read(state.pointee.events.heads[index], into: &head)
    }

    /// The same with the bytes copied into `buffer`, which must be empty; false if they do not fit.
    public func takeHead(into head: inout MessageHead, bytes buffer: inout PooledBuffer) -> Bool {
        precondition(buffer.isEmpty)
        guard let bytes = readHead(into: &head) else { return false }
        return buffer.append(bytes)
    }

    /// The caller has passed on `count` bytes of the stream's data: the peer may send as many more.
    public func consumed(_ stream: StreamID, _ count: Int) {
        guard let index = index(of: stream), unsafe state.pointee.failure == nil else { return }
        let counted = unsafe min(count, state.pointee.streams[index].unconsumed)
        guard counted > 0 else { return }
        unsafe state.pointee.streams[index].unconsumed -= counted
        _ = unsafe nghttp2_session_consume(session, stream.rawValue, counted)
    }
}

// Messages out.
extension HTTP2Session {
    /// A client can open one more stream now.
    public var canOpenStream: Bool {
        unsafe !state.pointee.isServer && state.pointee.failure == nil && !state.pointee.goAwayReceived
            && state.pointee.streams.openCount
                < min(state.pointee.peerStreamsMax, state.pointee.settings.streamsMax)
            && nghttp2_session_get_next_stream_id(session) <= UInt32(Int32.max)
    }

    /// nil if no stream can be opened: see `canOpenStream`. `tag` is the caller's, see `eventTag`.
    public func submitRequest(
        _ fields: borrowing HTTP2FieldList, endsStream: Bool, tag: UInt64 = 0
    ) -> StreamID? {
        guard canOpenStream, !fields.isTooLarge, fields.count > 0 else { return nil }
        let index = unsafe state.pointee.streams.take(stream: 0)
        unsafe state.pointee.streams[index].tag = tag
        var flags: StreamRecord.Flags = [.announced, .headSent]
        if endsStream { flags.insert(.ended) }
        if fields.requestIsHead { flags.insert(.requestIsHead) }
        if fields.requestIsConnect { flags.insert(.requestIsConnect) }
        unsafe state.pointee.streams[index].flags = flags
        let number = unsafe submit(fields, on: -1, endsStream: endsStream, userData: NGHTTP2.userData(index))
        guard number > 0 else {
            unsafe state.pointee.streams.close(index)
            unsafe state.pointee.streams.free(index)
            return nil
        }
        unsafe state.pointee.streams[index].stream = number
        unsafe state.pointee.budget.earnFrames(10)
        return StreamID(rawValue: number)
    }

    /// A final response. false if the stream is gone, or has its response already.
    public func submitResponse(
        _ stream: StreamID, _ fields: borrowing HTTP2FieldList, endsStream: Bool
    ) -> Bool {
        guard let index = indexForResponse(stream), !fields.isTooLarge else { return false }
        unsafe state.pointee.streams[index].flags.insert(.headSent)
        if endsStream { unsafe state.pointee.streams[index].flags.insert(.ended) }
        unsafe state.pointee.budget.earnStream()
        return unsafe submit(fields, on: stream.rawValue, endsStream: endsStream, userData: nil) >= 0
    }

    /// An interim response (100 to 199, not 101), before the final one.
    public func submitInformational(_ stream: StreamID, _ fields: borrowing HTTP2FieldList) -> Bool {
        guard indexForResponse(stream) != nil, !fields.isTooLarge else { return false }
        return unsafe submit(fields, on: stream.rawValue, endsStream: false, userData: nil) >= 0
    }

    /// Ends our side of the stream. All data must have been accepted before.
    public func submitTrailers(_ stream: StreamID, _ fields: borrowing HTTP2FieldList) -> Bool {
        if fields.count == 0 { return finish(stream) }
        guard let index = indexForSending(stream), !fields.isTooLarge else { return false }
        unsafe state.pointee.streams[index].flags.insert(.ended)
        return unsafe submit(fields, on: stream.rawValue, endsStream: true, userData: nil) >= 0
    }

    /// Turns as many of `bytes` into DATA frames as the peer's windows and our output take, and gives that number.
    /// Nothing is kept: the rest is the caller's, to be sent after `windowOpened`. With `endsStream`, the last byte
    /// ends our side, once it is accepted.
    public func send(_ stream: StreamID, _ bytes: ByteView, endsStream: Bool = false) -> Int {
        guard let index = indexForSending(stream) else { return 0 }
        if bytes.isEmpty {
            if endsStream { _ = finish(stream) }
            return 0
        }
        unsafe state.pointee.output.tidy()
        guard unsafe state.pointee.outputRoom > 0 else {
            unsafe state.pointee.streams.block(index)
            return 0
        }
        unsafe state.pointee.sending = SessionState.Sending(
            stream: stream.rawValue, bytes: bytes, endsStream: endsStream)
        offerData(stream, index)
        pump()
        let left = unsafe state.pointee.sending.bytes.count
        unsafe state.pointee.sending = SessionState.Sending()
        if left > 0, self.index(of: stream) != nil { unsafe state.pointee.streams.block(index) }
        return bytes.count - left
    }

    /// Ends our side of the stream, after all data that was accepted. If the peer's window is exhausted, the end waits
    /// for it by itself; `send` with `endsStream` needs no window of its own.
    @discardableResult
    public func finish(_ stream: StreamID) -> Bool {
        guard let index = indexForSending(stream) else { return false }
        unsafe state.pointee.streams[index].flags.insert(.ended)
        offerData(stream, index)
        pump()
        return true
    }

    /// Ends both sides of the stream at once; `closed` follows, `reset` does not.
    public func reset(_ stream: StreamID, _ code: HTTP2ErrorCode) {
        guard let index = index(of: stream), unsafe state.pointee.failure == nil else { return }
        unsafe state.pointee.streams[index].flags.formUnion([.resetKnown, .deaf, .ended])
        unsafe state.pointee.streams.unblock(index)
        let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        _ = unsafe nghttp2_submit_rst_stream(session, flags, stream.rawValue, code.rawValue)
        pump()
    }

    /// Makes the caller's number of this stream what `eventTag` says.
    public func setTag(_ stream: StreamID, _ tag: UInt64) {
        guard let index = index(of: stream) else { return }
        unsafe state.pointee.streams[index].tag = tag
    }

    public func tag(of stream: StreamID) -> UInt64? {
        guard let index = index(of: stream) else { return nil }
        return unsafe state.pointee.streams[index].tag
    }
}

// The connection, and bytes out.
extension HTTP2Session {
    /// Bytes to write, empty if there are none. Valid until the next call; say with `outputWritten` how many of them
    /// were written, the rest stays.
    public var output: ByteView {
        pump()
        return unsafe state.pointee.output.view
    }

    /// May wake streams: take events after it.
    public func outputWritten(_ count: Int) {
        noteIfFull()
        unsafe state.pointee.output.markWritten(count)
        unsafe state.pointee.output.tidy()
        wakeIfRoomy()
    }

    /// All bytes to write, nil if there are none. They count as written; valid until the next call. May wake streams.
    public func nextOutput() -> ByteView? {
        pump()
        let view = unsafe state.pointee.output.view
        guard !view.isEmpty else { return nil }
        noteIfFull()
        unsafe state.pointee.output.markWritten(view.count)
        wakeIfRoomy()
        return view
    }

    public var wantsWrite: Bool {
        unsafe state.pointee.output.pending > 0 || nghttp2_session_want_write(session) != 0
    }

    /// Nothing will be read or written any more: close the connection.
    public var isFinished: Bool {
        unsafe !wantsWrite && (state.pointee.failure != nil || nghttp2_session_want_read(session) == 0)
    }

    public var openStreamCount: Int { unsafe state.pointee.streams.openCount }

    /// Streams that the peer lets us open at a time; 100 until its settings arrive.
    public var peerStreamsMax: Int { unsafe state.pointee.peerStreamsMax }

    /// The peer takes CONNECT with `:protocol` (RFC 8441).
    public var peerAllowsExtendedConnect: Bool {
        unsafe nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
    }

    /// The peer sent GOAWAY: no more streams can be opened.
    public var goAwayReceived: Bool { unsafe state.pointee.goAwayReceived }

    /// Messages that were answered by a reset because they broke the rules.
    public var malformedCount: Int { unsafe state.pointee.malformedCount }

    public func goAway(_ kind: GoAway) {
        guard unsafe state.pointee.failure == nil else { return }
        switch kind {
        case .notice:
            _ = unsafe nghttp2_submit_shutdown_notice(session)
        case .last(let code):
            unsafe state.pointee.goAwayCode = code.rawValue
            let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
            let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
            _ = unsafe nghttp2_submit_goaway(session, flags, last, code.rawValue, nil, 0)
        case .now(let code):
            unsafe state.pointee.goAwayCode = code.rawValue
            _ = unsafe nghttp2_session_terminate_session(session, code.rawValue)
        }
        pump()
    }

    /// Asks for a `pingAcknowledged` with the same number.
    public func ping(_ number: UInt64) {
        guard unsafe state.pointee.failure == nil else { return }
        var bytes = number.bigEndian
        unsafe withUnsafeBytes(of: &bytes) { bytes in
            let start = unsafe bytes.assumingMemoryBound(to: UInt8.self).baseAddress
            _ = unsafe nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), start)
        }
        pump()
    }
}

// Helpers.
extension HTTP2Session {
    private func index(of stream: StreamID) -> Int? {
        unsafe NGHTTP2.index(nghttp2_session_get_stream_user_data(session, stream.rawValue))
    }

    private func indexForResponse(_ stream: StreamID) -> Int? {
        guard let index = index(of: stream), unsafe state.pointee.failure == nil else { return nil }
        let flags = unsafe state.pointee.streams[index].flags
        return flags.contains(.announced) && flags.isDisjoint(with: [.headSent, .resetKnown]) ? index : nil
    }

    private func indexForSending(_ stream: StreamID) -> Int? {
        guard let index = index(of: stream), unsafe state.pointee.failure == nil else { return nil }
        let flags = unsafe state.pointee.streams[index].flags
        return flags.contains(.headSent) && flags.isDisjoint(with: [.ended, .resetKnown]) ? index : nil
    }

    /// Gives the stream's number, or a negative number if the head did not go out. nghttp2 is given pointers into
    /// `fields`, so it must be done with them when this returns.
    private func submit(
        _ fields: borrowing HTTP2FieldList, on stream: Int32, endsStream: Bool,
        userData: UnsafeMutableRawPointer?
    ) -> Int32 {
        unsafe state.pointee.headFate = .queued
        let flags = UInt8((endsStream ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE).rawValue)
        let result = unsafe nghttp2_submit_headers(
            session, flags, stream, nil, fields.start, fields.count, userData)
        guard result >= 0 else { return result }
        pump()
        switch unsafe state.pointee.headFate {
        case .sent: return result
        case .dropped: return -1
        case .queued:
            // Never let nghttp2 look at it again.
            unsafe state.pointee.failure = HTTP2ConnectionError(
                code: .internalError, reason: .internalFailure)
            return -1
        }
    }

    /// Lets nghttp2 ask for the stream's data.
    private func offerData(_ stream: StreamID, _ index: Int) {
        if unsafe state.pointee.streams[index].flags.contains(.hasItem) {
            // Fails if it is about to ask anyway.
            _ = unsafe nghttp2_session_resume_data(session, stream.rawValue)
            return
        }
        unsafe state.pointee.streams[index].flags.insert(.hasItem)
        _ = unsafe NGHTTP2.submitData(session, stream.rawValue)
    }

    /// Moves all frames that can be sent now to the output.
    private func pump() {
        guard unsafe state.pointee.failure?.reason != .internalFailure else { return }
        var bytes: UnsafePointer<UInt8>?
        while true {
            let count = unsafe nghttp2_session_mem_send(session, &bytes)
            guard count > 0, let start = unsafe bytes else {
                if count < 0 {
                    let error = HTTP2ConnectionError(code: .internalError, reason: .internalFailure)
                    unsafe state.pointee.failure = error
                    return
                }
                break
            }
            unsafe state.pointee.output.append(ByteView(base: start, count: count))
        }
        if let verdict = unsafe state.pointee.verdict, unsafe state.pointee.failure == nil {
            _ = fail(verdict.code, verdict.reason)
        }
    }

    private func fail(_ code: HTTP2ErrorCode, _ reason: HTTP2ConnectionError.Reason) -> HTTP2ConnectionError {
        let error = HTTP2ConnectionError(code: code, reason: reason)
        unsafe state.pointee.verdict = nil
        _ = unsafe nghttp2_session_terminate_session(session, code.rawValue)
        pump()
        unsafe state.pointee.failure = error
        return error
    }

    private func fail(libraryError: Int) -> HTTP2ConnectionError {
        switch Int32(truncatingIfNeeded: libraryError) {
        case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: fail(.protocolError, .violation)
        case NGHTTP2_ERR_FLOODED.rawValue: fail(.enhanceYourCalm, .frameFlood)
        case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue: fail(.enhanceYourCalm, .headerFlood)
        default: fail(.internalError, .internalFailure)
        }
    }

    /// Only a full output has made streams wait; it may take many writes until it is half empty.
    private func noteIfFull() {
        if unsafe state.pointee.outputRoom <= 0 { unsafe state.pointee.wasOutputFull = true }
    }

    private func wakeIfRoomy() {
        guard unsafe state.pointee.wasOutputFull,
            unsafe state.pointee.outputRoom >= state.pointee.settings.outputMax / 2
        else { return }
        unsafe state.pointee.wasOutputFull = false
        unsafe state.pointee.wakeAll()
    }
}
