import CNGHTTP2
import HTTPModel

/// A header block is complete: what it means depends on where its stream is (RFC 9113 section 8.1).
func headersReceived(_ session: OpaquePointer?, _ state: NGHTTP2.State, _ header: nghttp2_frame_hd) -> CInt {
    let stream = header.stream_id
    guard let index = unsafe NGHTTP2.index(session, stream), unsafe state.pointee.heads.isActive else {
        return 0
    }
    let endsStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    let extended = unsafe state.pointee.settings.allowsExtendedConnect
    let isFine: Bool
    switch unsafe state.pointee.heads.finish(allowsExtendedConnect: extended) {
    case .malformed:
        isFine = false
    case .tooLarge:
        isFine = unsafe headTooLarge(state, stream, index, endsStream)
    case .head(let head):
        if unsafe state.pointee.streams[index].flags.contains(.headReceived) {
            isFine = unsafe trailersReceived(state, stream, index, head, endsStream)
        } else if head.status == 0 {
            isFine = unsafe requestReceived(state, stream, index, head, endsStream)
        } else if head.status < 200 {
            isFine = unsafe informationalReceived(state, stream, index, head, endsStream)
        } else {
            isFine = unsafe responseReceived(state, stream, index, head, endsStream)
        }
    }
    return isFine ? 0 : unsafe breakStream(session, state, stream, index)
}

private func headTooLarge(_ state: NGHTTP2.State, _ stream: Int32, _ index: Int, _ endsStream: Bool) -> Bool {
    let flags = unsafe state.pointee.streams[index].flags
    if flags.contains(.headReceived) { return false }
    unsafe state.pointee.streams[index].flags.formUnion([.announced, .headReceived])
    unsafe state.pointee.events.push(
        .headTooLarge(stream: StreamID(rawValue: stream), endsStream: endsStream), index)
    return true
}

private func requestReceived(
    _ state: NGHTTP2.State, _ stream: Int32, _ index: Int, _ head: HeadRecord, _ endsStream: Bool
) -> Bool {
    var head = head
    // What follows a CONNECT is not a body (RFC 9110 section 9.3.6).
    let promised = head.method == .connect || head.hasUpgrade ? nil : head.contentLength
    if endsStream, (promised ?? 0) != 0 { return false }
    head.body = endsStream ? .none : promised.map { .bytes($0) } ?? .untilStreamEnd
    unsafe deliver(state, stream, index, head, endsStream, bodyExpected: promised ?? -1)
    return true
}

private func responseReceived(
    _ state: NGHTTP2.State, _ stream: Int32, _ index: Int, _ head: HeadRecord, _ endsStream: Bool
) -> Bool {
    var head = head
    let flags = unsafe state.pointee.streams[index].flags
    // Whatever `content-length` says of these, they have no body (RFC 9110 section 6.4.1).
    let isBodyless = flags.contains(.requestIsHead) || head.status == 204 || head.status == 304
    let isTunnel = flags.contains(.requestIsConnect) && head.status < 300
    let promised = isBodyless ? 0 : isTunnel ? nil : head.contentLength
    if endsStream, (promised ?? 0) != 0 { return false }
    head.body = endsStream || isBodyless ? .none : promised.map { .bytes($0) } ?? .untilStreamEnd
    unsafe deliver(state, stream, index, head, endsStream, bodyExpected: promised ?? -1)
    return true
}

private func deliver(
    _ state: NGHTTP2.State, _ stream: Int32, _ index: Int, _ head: HeadRecord, _ endsStream: Bool,
    bodyExpected: Int64
) {
    unsafe state.pointee.streams[index].flags.formUnion([.announced, .headReceived])
    unsafe state.pointee.streams[index].bodyExpected = bodyExpected
    let id = StreamID(rawValue: stream)
    unsafe state.pointee.events.push(
        .head(stream: id, length: head.length, endsStream: endsStream), index, head: head)
}

private func informationalReceived(
    _ state: NGHTTP2.State, _ stream: Int32, _ index: Int, _ head: HeadRecord, _ endsStream: Bool
) -> Bool {
    if endsStream { return false }
    let id = StreamID(rawValue: stream)
    unsafe state.pointee.events.push(.informational(stream: id, length: head.length), index, head: head)
    return true
}

private func trailersReceived(
    _ state: NGHTTP2.State, _ stream: Int32, _ index: Int, _ head: HeadRecord, _ endsStream: Bool
) -> Bool {
    guard endsStream, unsafe bodyIsComplete(state.pointee.streams[index]) else { return false }
    let id = StreamID(rawValue: stream)
    unsafe state.pointee.events.push(.trailers(stream: id, length: head.length), index, head: head)
    return true
}
