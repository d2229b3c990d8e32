import CNGHTTP2
import MeshPrimitives

/// What nghttp2 is told, and how it tells us: its callbacks write down what happened, and do nothing else that could
/// reach the caller.
enum NGHTTP2 {
    typealias State = UnsafeMutablePointer<SessionState>

    /// nghttp2 keeps a pointer for each stream: the index of its record, plus one.
    static func userData(_ index: Int) -> UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: index + 1)
    }

    static func index(_ userData: UnsafeMutableRawPointer?) -> Int? {
        guard let userData = unsafe userData else { return nil }
        return Int(bitPattern: userData) - 1
    }

    static func makeSession(
        role: HTTP2Session.Role, settings: HTTP2Settings, state: State, memory: HTTP2Memory
    ) -> OpaquePointer? {
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
        defer { unsafe nghttp2_session_callbacks_del(callbacks) }
        guard unsafe nghttp2_option_new(&options) == 0 else { return nil }
        defer { unsafe nghttp2_option_del(options) }
        unsafe setCallbacks(callbacks)
        // Windows open as the caller consumes; messages are checked by us, so that the checks are ours in all versions.
        unsafe nghttp2_option_set_no_auto_window_update(options, 1)
        unsafe nghttp2_option_set_no_http_messaging(options, 1)
        unsafe nghttp2_option_set_no_closed_streams(options, 1)
        // It would count by a clock of its own; `FloodBudget` counts.
        unsafe nghttp2_option_set_stream_reset_rate_limit(options, .max, .max)
        var session: OpaquePointer?
        var functions = unsafe memory.functions()
        let result =
            role == .server
            ? unsafe nghttp2_session_server_new3(&session, callbacks, state, options, &functions)
            : unsafe nghttp2_session_client_new3(&session, callbacks, state, options, &functions)
        guard result == 0, let session = unsafe session else { return nil }
        guard unsafe submitSettings(session, role: role, settings) else {
            unsafe nghttp2_session_del(session)
            return nil
        }
        return unsafe session
    }

    private static func submitSettings(
        _ session: OpaquePointer, role: HTTP2Session.Role, _ settings: HTTP2Settings
    ) -> Bool {
        var entries: [nghttp2_settings_entry] = []
        func add(_ id: nghttp2_settings_id, _ value: Int) {
            entries.append(nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(value)))
        }
        switch role {
        case .server:
            add(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.streamsMax)
            if settings.allowsExtendedConnect { add(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1) }
        case .client:
            add(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)
        }
        add(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow)
        add(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HeadAssembler.announcedBytesMax)
        // No dependency tree: nothing to attack, nothing to keep up.
        add(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1)
        let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        let window = Int32(max(settings.connectionWindow, 65_535))
        return unsafe nghttp2_submit_settings(session, flags, entries, entries.count) == 0
            && nghttp2_session_set_local_window_size(session, flags, 0, window) == 0
    }

    static func submitData(_ session: OpaquePointer, _ stream: Int32) -> CInt {
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.read_callback = readData
        return unsafe nghttp2_submit_data(session, UInt8(NGHTTP2_FLAG_END_STREAM.rawValue), stream, &provider)
    }

    private static func setCallbacks(_ callbacks: OpaquePointer?) {
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, frameBegan)
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, headersBegan)
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks, fieldReceived)
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frameReceived)
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, dataReceived)
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, streamClosed)
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frameSent)
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, frameDropped)
        unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks, writeData)
    }

    static let callbackFailure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue

    static func state(_ user: UnsafeMutableRawPointer?) -> State? {
        unsafe user?.assumingMemoryBound(to: SessionState.self)
    }

    static func index(_ session: OpaquePointer?, _ stream: Int32) -> Int? {
        unsafe index(nghttp2_session_get_stream_user_data(session, stream))
    }

    /// Makes nghttp2 return to us: the connection cannot go on.
    static func stop(_ state: State, _ code: HTTP2ErrorCode, _ reason: HTTP2ConnectionError.Reason) -> CInt {
        unsafe state.pointee.verdict = HTTP2ConnectionError(code: code, reason: reason)
        return callbackFailure
    }

    /// A stream was wasted on a client's account; what servers break, we asked for.
    static func spendStream(_ state: State) -> CInt {
        guard unsafe state.pointee.isServer, unsafe !state.pointee.budget.spendStream() else { return 0 }
        return unsafe stop(state, .enhanceYourCalm, .resetFlood)
    }
}
