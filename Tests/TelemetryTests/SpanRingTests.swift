import MeshPrimitives
import Telemetry
import Testing

@Suite struct SpanRingTests {
    private func append(_ number: UInt64, _ text: String, to ring: SpanRing) -> Bool {
        var record = ExchangeRecord()
        record.connectionID = number
        record.attemptStarted(at: 1, endpoint: nil, cause: nil)
        let header = SpanHeader(settings: Int32(number % 7), isHTTPS: true, parentSpanID: number &* 3)
        guard var entry = ring.begin(inPlace: &record, header, spans: 3) else { return false }
        text.withByteView { entry.add(.path, $0) }
        entry.add(tag: 5, ByteView("tag"))
        ring.commit(entry)
        return true
    }

    @Test("What goes in comes out, in order, over many rounds", arguments: UInt64(0)..<10)
    func order(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let ring = SpanRing(capacity: 1 << 15)
        var (written, read, lost) = (UInt64(0), UInt64(0), UInt64(0))
        var expected: [(UInt64, String)] = []
        for _ in 0..<3000 {
            let text = String(repeating: "x", count: Int(random.below(1500)))
            if append(written, text, to: ring) { expected.append((written, text)) } else { lost += 1 }
            written += 1
            if random.below(4) == 0 {
                read += UInt64(
                    ring.take(Int(random.below(20))) { entry in
                        let (number, text) = expected.removeFirst()
                        #expect(entry.record.connectionID == number)
                        #expect(entry.record.attemptsKept == 1)
                        #expect(entry.header.parentSpanID == number &* 3)
                        #expect(
                            (entry.text(.path)?.count ?? 0) == min(text.utf8.count, SpanRing.textBytesMax))
                        #expect(entry.tag(5)?.text == "tag")
                        #expect(entry.text(.authority) == nil)
                    })
            }
        }
        read += UInt64(ring.take { _ in })
        #expect(read + lost == written)
        #expect(ring.droppedCount == 3 * lost)
        #expect(lost > 0)
    }

    @Test("An entry is bounded: what does not fit is left out")
    func entryBound() {
        let ring = SpanRing(capacity: 1 << 14)
        var record = ExchangeRecord()
        let header = SpanHeader(settings: 0, isHTTPS: false, parentSpanID: 0)
        guard var entry = ring.begin(inPlace: &record, header) else { return }
        let text = String(repeating: "y", count: 5000)
        for tag in 0..<SpanText.tagsMax { text.withByteView { entry.add(tag: tag, $0) } }
        ring.commit(entry)
        var tags = 0
        ring.take { entry in
            for tag in 0..<SpanText.tagsMax where entry.tag(tag) != nil { tags += 1 }
        }
        #expect(tags > 0 && tags <= SpanRing.entryBytesMax / SpanRing.textBytesMax)
    }
}
