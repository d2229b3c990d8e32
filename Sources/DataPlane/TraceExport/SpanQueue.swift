/// Spans of one collector that were not sent yet: a bounded number of bounded size. When it is full, new ones are
/// dropped.
struct SpanQueue {
    static let spansMax = 8192
    static let bytesMax = 8 << 20
    /// Of one batch; the first span is always in it.
    static let batchSpansMax = 512
    static let batchBytesMax = 1 << 20

    private var spans: [[UInt8]] = []
    private var start = 0
    private(set) var bytes = 0

    var count: Int { spans.count - start }

    /// false: it was dropped.
    mutating func append(_ span: [UInt8]) -> Bool {
        guard count < Self.spansMax, bytes + span.count <= Self.bytesMax else { return false }
        spans.append(span)
        bytes += span.count
        return true
    }

    /// The oldest ones, which stay in the queue.
    var batch: ArraySlice<[UInt8]> {
        var end = start
        var size = 0
        while end < spans.count, end - start < Self.batchSpansMax {
            size += spans[end].count
            if end > start, size > Self.batchBytesMax { break }
            end += 1
        }
        return spans[start..<end]
    }

    mutating func removeFirst(_ count: Int) {
        for index in start..<(start + count) { bytes -= spans[index].count }
        start += count
        if start == spans.count {
            (spans, start) = ([], 0)
        } else if start >= Self.batchSpansMax * 4 {
            spans.removeFirst(start)
            start = 0
        }
    }
}
