import Foundation
import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Testing

/// The fuzz entry point: any bytes, as requests and as responses, must mean the same in whatever pieces they come,
/// and must neither trap nor loop. Gives what went wrong, or nil.
func fuzzHTTP1(_ bytes: [UInt8], seed: UInt64) -> String? {
    guard !bytes.isEmpty else { return nil }
    var random = SeededRandom(seed: seed)
    let roles: [ConnectionTrace.Role] = [.server, .client(.get), .client(.head), .client(.connect)]
    for role in roles {
        let read = ConnectionTrace.of(bytes, role: role, trailerUse: .read)
        let dropped = ConnectionTrace.of(bytes, role: role, trailerUse: .drop)
        let isSame =
            read.filter { !$0.hasPrefix("trailers") } == dropped.filter { !$0.hasPrefix("trailers") }
        if !isSame { return "trailers that are read and dropped differ: \(read) and \(dropped)" }
        let cuts = (0..<Int(1 + random.below(6))).map { _ in Int(random.below(UInt64(bytes.count))) }
        for pieces in [cuts, bytes.count < 400 ? Array(1..<bytes.count + 1) : []] {
            if ConnectionTrace.of(bytes, role: role, trailerUse: .read, cuts: pieces) != read {
                return "cut at \(pieces) it means something else than \(read)"
            }
            if ConnectionTrace.of(bytes, role: role, trailerUse: .drop, cuts: pieces) != dropped {
                return "cut at \(pieces) and without trailers it means something else than \(dropped)"
            }
        }
    }
    return nil
}

struct HTTP1FuzzTests {
    /// The corpus: files in Tests/Fuzz/corpus/http1, in the order of their names.
    static let corpus: [(name: String, bytes: [UInt8])] = {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fuzz/corpus/http1")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.sorted().compactMap { name in
            (try? Data(contentsOf: folder.appendingPathComponent(name))).map { (name, [UInt8]($0)) }
        }
    }()

    static let splices: [String] = [
        "\r\n", "\n", "\r", " ", "\t", ":", "\0", "\u{7f}", ",", ";", "0\r\n\r\n", "\r\n\r\n", "Host: x\r\n",
        "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close, te\r\n", "HTTP/1.1",
        "ffffffffffffffff", "18446744073709551615", "GET / HTTP/1.1\r\n", "\r\n X", "HTTP/1.1 200 OK\r\n",
    ]

    static func mutated(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var result = bytes
        func place() -> Int { Int(random.below(UInt64(result.count + 1))) }
        for _ in 0..<(1 + random.below(4)) {
            let start = place()
            let end = min(result.count, start + Int(random.below(12)))
            switch random.below(6) {
            case 0 where start < result.count: result[start] = UInt8(truncatingIfNeeded: random.next())
            case 1 where start < result.count: result[start] ^= 1 << UInt8(random.below(8))
            case 2: result.removeSubrange(start..<end)
            case 3: result.insert(contentsOf: result[start..<end], at: place())
            case 4:
                let other = corpus[Int(random.below(UInt64(corpus.count)))].bytes
                result.insert(contentsOf: other.prefix(Int(random.below(80))), at: start)
            default:
                result.insert(contentsOf: splices[Int(random.below(UInt64(splices.count)))].utf8, at: start)
            }
        }
        return result
    }

    @Test("The corpus is there")
    func corpusIsThere() { #expect(Self.corpus.count >= 15) }

    @Test("Corpus files, and random changes of them, mean the same in whatever pieces they come")
    func pieces() {
        for (index, seed) in Self.corpus.enumerated() {
            #expect(fuzzHTTP1(seed.bytes, seed: 1) == nil, "\(seed.name)")
            var random = SeededRandom(seed: UInt64(index))
            for round in 0..<60 {
                let bytes = Self.mutated(seed.bytes, &random)
                let problem = fuzzHTTP1(bytes, seed: UInt64(round))
                #expect(problem == nil, "\(seed.name), round \(round): \(text(bytes))")
                if problem != nil { break }
            }
        }
    }

    @Test("Noise is refused without harm")
    func noise() {
        var random = SeededRandom(seed: 42)
        for round in UInt64(0)..<100 {
            let bytes = (0..<random.below(200)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            #expect(fuzzHTTP1(bytes, seed: round) == nil)
        }
    }
}
