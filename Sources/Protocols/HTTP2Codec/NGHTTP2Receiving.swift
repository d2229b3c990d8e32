import CNGHTTP2
import MeshPrimitives

// Callbacks for what comes in.

func frameBegan(
    _ session: OpaquePointer?, _ header: UnsafePointer<nghttp2_frame_hd>?, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let header = unsafe header else {
        return NGHTTP2.callbackFailure
    }
    let isSettings = unsafe header.pointee.type == UInt8(NGHTTP2_SETTINGS.rawValue)
    if unsafe state.pointee.budget.spendFrames(isSettings ? 10 : 1) { return 0 }
    return unsafe NGHTTP2.stop(state, .enhanceYourCalm, .frameFlood)
}

func headersBegan(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let frame = unsafe frame else {
        return NGHTTP2.callbackFailure
    }
    let stream = unsafe frame.pointee.hd.stream_id
    if unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
        let index = unsafe state.pointee.streams.take(stream: stream)
        unsafe state.pointee.budget.earnFrames(10)
        unsafe state.pointee.heads.begin(.request)
        return unsafe nghttp2_session_set_stream_user_data(session, stream, NGHTTP2.userData(index))
    }
    guard let index = unsafe NGHTTP2.index(session, stream),
        unsafe !state.pointee.streams[index].flags.contains(.deaf)
    else {
        unsafe state.pointee.heads.skip()
        return 0
    }
    let isFinal = unsafe state.pointee.streams[index].flags.contains(.headReceived)
    unsafe state.pointee.heads.begin(isFinal ? .trailers : .response)
    return 0
}

func fieldReceived(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ name: UnsafePointer<UInt8>?,
    _ nameCount: Int,
    _ value: UnsafePointer<UInt8>?, _ valueCount: Int, _ flags: UInt8, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let name = unsafe name, let value = unsafe value else {
        return NGHTTP2.callbackFailure
    }
    let extended = unsafe state.pointee.settings.allowsExtendedConnect
    let isBearable = unsafe state.pointee.heads.append(
        ByteView(base: name, count: nameCount), ByteView(base: value, count: valueCount),
        allowsExtendedConnect: extended)
    return isBearable ? 0 : unsafe NGHTTP2.stop(state, .enhanceYourCalm, .headerFlood)
}

func dataReceived(
    _ session: OpaquePointer?, _ flags: UInt8, _ stream: Int32, _ bytes: UnsafePointer<UInt8>?, _ count: Int,
    _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let bytes = unsafe bytes else {
        return NGHTTP2.callbackFailure
    }
    guard let index = unsafe NGHTTP2.index(session, stream),
        unsafe !state.pointee.streams[index].flags.contains(.deaf)
    else {
        _ = unsafe nghttp2_session_consume(session, stream, count)
        return 0
    }
    if count == 0 { return 0 }
    unsafe state.pointee.budget.earnFrames(3)
    var record = unsafe state.pointee.streams[index]
    record.bodyReceived += Int64(count)
    let isPromised = record.bodyExpected < 0 || record.bodyReceived <= record.bodyExpected
    // Before its head, or more than `content-length` said (RFC 9113 section 8.1.1).
    guard record.flags.contains(.headReceived), isPromised else {
        _ = unsafe nghttp2_session_consume(session, stream, count)
        return unsafe breakStream(session, state, stream, index)
    }
    record.unconsumed += count
    unsafe state.pointee.streams[index] = record
    let view = unsafe ByteView(base: bytes, count: count)
    unsafe state.pointee.events.push(
        .data(stream: StreamID(rawValue: stream), bytes: view, endsStream: false), index)
    return 0
}

func frameReceived(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let frame = unsafe frame else {
        return NGHTTP2.callbackFailure
    }
    let header = unsafe frame.pointee.hd
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue:
        return unsafe headersReceived(session, state, header)
    case NGHTTP2_DATA.rawValue:
        guard header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return 0 }
        return unsafe dataEnded(session, state, header.stream_id)
    case NGHTTP2_RST_STREAM.rawValue:
        return unsafe resetReceived(session, state, header.stream_id, frame.pointee.rst_stream.error_code)
    case NGHTTP2_WINDOW_UPDATE.rawValue:
        if header.stream_id == 0 {
            unsafe state.pointee.wakeAll()
        } else if let index = unsafe NGHTTP2.index(session, header.stream_id) {
            unsafe state.pointee.wake(index)
        }
    case NGHTTP2_SETTINGS.rawValue where header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0:
        let id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
        let streamsMax = unsafe Int(nghttp2_session_get_remote_settings(session, id))
        unsafe state.pointee.peerStreamsMax = streamsMax
        unsafe state.pointee.events.push(.settings(streamsMax: streamsMax), -1)
        unsafe state.pointee.wakeAll()
    case NGHTTP2_PING.rawValue where header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0:
        let data = unsafe frame.pointee.ping.opaque_data
        let number = unsafe withUnsafeBytes(of: data) { unsafe $0.loadUnaligned(as: UInt64.self) }
        unsafe state.pointee.events.push(.pingAcknowledged(UInt64(bigEndian: number)), -1)
    case NGHTTP2_GOAWAY.rawValue:
        unsafe state.pointee.goAwayReceived = true
        let (last, code) = unsafe (frame.pointee.goaway.last_stream_id, frame.pointee.goaway.error_code)
        unsafe state.pointee.events.push(
            .goAway(lastStream: StreamID(rawValue: last), code: HTTP2ErrorCode(rawValue: code)), -1)
    default: break
    }
    return 0
}

func dataEnded(_ session: OpaquePointer?, _ state: NGHTTP2.State, _ stream: Int32) -> CInt {
    guard let index = unsafe NGHTTP2.index(session, stream) else { return 0 }
    let record = unsafe state.pointee.streams[index]
    if record.flags.contains(.deaf) { return 0 }
    guard record.flags.contains(.headReceived), bodyIsComplete(record) else {
        return unsafe breakStream(session, state, stream, index)
    }
    if unsafe !state.pointee.events.endWithLastData(of: stream) {
        unsafe state.pointee.events.push(.ended(stream: StreamID(rawValue: stream)), index)
    }
    return 0
}

func bodyIsComplete(_ record: StreamRecord) -> Bool {
    record.bodyExpected < 0 || record.bodyExpected == record.bodyReceived
}

func resetReceived(_ session: OpaquePointer?, _ state: NGHTTP2.State, _ stream: Int32, _ code: UInt32) -> CInt
{
    guard let index = unsafe NGHTTP2.index(session, stream) else { return 0 }
    let flags = unsafe state.pointee.streams[index].flags
    if flags.isSuperset(of: .announced), !flags.contains(.resetKnown) {
        let id = StreamID(rawValue: stream)
        unsafe state.pointee.events.push(
            .reset(stream: id, code: HTTP2ErrorCode(rawValue: code), byPeer: true), index)
    }
    unsafe state.pointee.streams[index].flags.formUnion([.resetKnown, .deaf])
    unsafe state.pointee.streams.unblock(index)
    return flags.contains(.headSent) ? 0 : unsafe NGHTTP2.spendStream(state)
}

/// The peer broke the rules for messages: a stream error (RFC 9113 section 8.1.1).
func breakStream(_ session: OpaquePointer?, _ state: NGHTTP2.State, _ stream: Int32, _ index: Int) -> CInt {
    let flags = unsafe state.pointee.streams[index].flags
    let code = HTTP2ErrorCode.protocolError
    unsafe state.pointee.malformedCount += 1
    unsafe state.pointee.heads.drop()
    if flags.contains(.announced), !flags.contains(.resetKnown) {
        unsafe state.pointee.events.push(
            .reset(stream: StreamID(rawValue: stream), code: code, byPeer: false), index)
    }
    unsafe state.pointee.streams[index].flags.formUnion([.resetKnown, .deaf])
    unsafe state.pointee.streams.unblock(index)
    _ = unsafe nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code.rawValue)
    return unsafe NGHTTP2.spendStream(state)
}

func streamClosed(
    _ session: OpaquePointer?, _ stream: Int32, _ code: UInt32, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user) else { return NGHTTP2.callbackFailure }
    guard let index = unsafe NGHTTP2.index(session, stream) else { return 0 }
    let record = unsafe state.pointee.streams[index]
    // A request that could not be opened: `submitRequest` sees to its record.
    if record.stream == 0 { return 0 }
    unsafe state.pointee.streams.close(index)
    if record.unconsumed > 0 {
        // The connection's window is for all streams: a stream that ends early gives back what it took.
        unsafe state.pointee.streams[index].unconsumed = 0
        _ = unsafe nghttp2_session_consume_connection(session, record.unconsumed)
    }
    guard record.flags.contains(.announced) else {
        unsafe state.pointee.streams.free(index)
        return 0
    }
    let id = StreamID(rawValue: stream)
    if code != 0, !record.flags.contains(.resetKnown) {
        let byPeer = unsafe state.pointee.goAwayReceived && code == HTTP2ErrorCode.refusedStream.rawValue
        unsafe state.pointee.events.push(
            .reset(stream: id, code: HTTP2ErrorCode(rawValue: code), byPeer: byPeer), index)
    }
    unsafe state.pointee.events.push(.closed(stream: id), index)
    return 0
}
