import CNGHTTP2
import MeshPrimitives

// Callbacks for what goes out.

/// How many bytes the next DATA frame of a stream carries: of those that `send` was given, if it is about this stream;
/// else none, and nghttp2 asks again when told to, unless all that is missing is the end.
func readData(
    _ session: OpaquePointer?, _ stream: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ lengthMax: Int,
    _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
    _ user: UnsafeMutableRawPointer?
) -> Int {
    let failure = Int(NGHTTP2.callbackFailure)
    guard let state = unsafe NGHTTP2.state(user), let flags = unsafe flags else { return failure }
    guard let index = unsafe NGHTTP2.index(session, stream) else { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
    let (isSending, left) = unsafe (state.pointee.sending.stream == stream, state.pointee.sending.bytes.count)
    if isSending, left > 0 {
        let count = unsafe min(lengthMax, left, state.pointee.outputRoom)
        guard count > 0 else { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if count == left {
            unsafe finishItem(state, index, flags, endsStream: state.pointee.sending.endsStream)
        }
        return count
    }
    guard unsafe state.pointee.streams[index].flags.contains(.ended) else {
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    unsafe finishItem(state, index, flags, endsStream: true)
    return 0
}

/// nghttp2 drops its DATA item after this frame.
private func finishItem(
    _ state: NGHTTP2.State, _ index: Int, _ flags: UnsafeMutablePointer<UInt32>, endsStream: Bool
) {
    unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    unsafe state.pointee.streams[index].flags.remove(.hasItem)
    if endsStream {
        unsafe state.pointee.streams[index].flags.insert(.ended)
    } else {
        unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
    }
}

/// Writes a DATA frame straight from the bytes that `send` was given.
func writeData(
    _ session: OpaquePointer?, _ frame: UnsafeMutablePointer<nghttp2_frame>?, _ header: UnsafePointer<UInt8>?,
    _ count: Int, _ source: UnsafeMutablePointer<nghttp2_data_source>?, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let header = unsafe header else {
        return NGHTTP2.callbackFailure
    }
    let bytes = unsafe state.pointee.sending.bytes
    unsafe state.pointee.output.append(ByteView(base: header, count: 9))
    unsafe state.pointee.output.append(bytes[0..<count])
    unsafe state.pointee.sending.bytes = bytes.dropFirst(count)
    unsafe state.pointee.budget.earnFrames(4)
    return 0
}

func frameSent(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let frame = unsafe frame else {
        return NGHTTP2.callbackFailure
    }
    switch unsafe UInt32(frame.pointee.hd.type) {
    case NGHTTP2_HEADERS.rawValue:
        unsafe state.pointee.headFate = .sent
    case NGHTTP2_RST_STREAM.rawValue:
        // One that neither the caller nor our own checks asked for: nghttp2 refused the stream, or it was broken.
        let index = unsafe NGHTTP2.index(session, frame.pointee.hd.stream_id)
        if let index, unsafe state.pointee.streams[index].flags.contains(.resetKnown) { return 0 }
        return unsafe NGHTTP2.spendStream(state)
    case NGHTTP2_GOAWAY.rawValue:
        let code = unsafe frame.pointee.goaway.error_code
        guard code != 0, unsafe code != state.pointee.goAwayCode, unsafe state.pointee.failure == nil else {
            return 0
        }
        unsafe state.pointee.failure = HTTP2ConnectionError(
            code: HTTP2ErrorCode(rawValue: code), reason: .violation)
    default: break
    }
    return 0
}

func frameDropped(
    _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ error: CInt,
    _ user: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe NGHTTP2.state(user), let frame = unsafe frame else {
        return NGHTTP2.callbackFailure
    }
    if unsafe frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue) {
        unsafe state.pointee.headFate = .dropped
    }
    return 0
}
