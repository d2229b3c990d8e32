import MeshPrimitives
import Testing

@Suite("Bytes in less room")
struct CompactBytesTests {
    @Test("Come back as they were, whatever they are")
    func roundTrip() {
        var random = SeededRandom(seed: 7)
        var samples: [[UInt8]] = [[], [0], [1, 2, 3], Array("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".utf8)]
        for length in [4, 14, 15, 16, 269, 270, 271, 525, 5000, 70_000] {
            samples.append((0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) })
            samples.append((0..<length).map { _ in UInt8(random.below(3)) })
            samples.append([UInt8](repeating: 9, count: length))
            let block = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            samples.append(block + block)
        }
        for sample in samples {
            let compact = CompactBytes(sample)
            #expect(compact.count == sample.count)
            #expect(compact.bytes == sample)
        }
    }

    @Test("A generated configuration shrinks to a tenth, and what does not repeat itself hardly grows")
    func sizes() {
        let text = (0..<2000).map { number in
            #"{"name": "cluster-\#(number)", "type": "STATIC", "connect_timeout": "30s", "load_assignment": "#
                + #"{"cluster_name": "cluster-\#(number)", "endpoints": [{"lb_endpoints": [{"endpoint": {}}]}]}}"#
        }.joined(separator: ", ")
        #expect(CompactBytes(Array(text.utf8)).storedCount * 5 < text.utf8.count)
        var random = SeededRandom(seed: 8)
        let noise = (0..<10_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        #expect(CompactBytes(noise).storedCount <= noise.count + 60)
    }
}
