import Testing

@testable import TraceExport

@Suite struct SpanQueueTests {
    @Test("A full queue takes no more, and has room again when a batch is gone")
    func bound() {
        var queue = SpanQueue()
        for _ in 0..<SpanQueue.spansMax {
            let isTaken = queue.append([1, 2, 3])
            #expect(isTaken)
        }
        let isOverTaken = queue.append([1])
        #expect(!isOverTaken)
        let count = queue.batch.count
        #expect(count == SpanQueue.batchSpansMax)
        queue.removeFirst(count)
        let isTakenAgain = queue.append([1])
        #expect(isTakenAgain)
        #expect(queue.count == SpanQueue.spansMax - count + 1)
    }

    @Test("Batches and the queue are bounded in bytes too")
    func bytes() {
        var queue = SpanQueue()
        let span = [UInt8](repeating: 0, count: SpanQueue.batchBytesMax / 2 + 1)
        var taken = 0
        while queue.append(span) { taken += 1 }
        #expect(taken == SpanQueue.bytesMax / span.count)
        #expect(queue.batch.count == 1)
        while queue.count > 0 { queue.removeFirst(queue.batch.count) }
        #expect(queue.bytes == 0)
    }
}
