import GRPCCore

/// Numbers the streams of one owner, and says when there may be no more.
struct StreamAdmission {
    typealias StreamID = UInt64

    static let streamsMax = 20_000

    private(set) var isClosed = false
    private var last: StreamID = 0

    /// `openCount`: how many there are already.
    mutating func admit(openCount: Int) throws(RPCError) -> StreamID {
        guard !isClosed else { throw RPCError(code: .unavailable, message: "the control plane is stopping") }
        guard openCount < Self.streamsMax else {
            throw RPCError(code: .resourceExhausted, message: "there are \(Self.streamsMax) streams already")
        }
        last += 1
        return last
    }

    /// No more from now on.
    mutating func close() { isClosed = true }
}
