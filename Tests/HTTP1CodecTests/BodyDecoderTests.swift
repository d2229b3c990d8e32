import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Testing

struct BodyDecoderTests {
    /// What a body in one piece decodes to: its content, how many bytes it took, and how it ended.
    private func decode(_ bytes: [UInt8], _ length: BodyLength = .chunked) -> (String, Int, BodyDecoder.Event)
    {
        var decoder = BodyDecoder(length)
        var (content, position): ([UInt8], Int) = ([], 0)
        while true {
            let (consumed, event) = bytes.withByteView { decoder.next($0.dropFirst(position)) }
            if case .data(let range) = event {
                content += bytes[(position + range.lowerBound)..<(position + range.upperBound)]
            }
            position += consumed
            switch event {
            case .data, .trailers: break
            case .end, .needsMore, .invalid: return (text(content), position, event)
            }
        }
    }

    private func decode(_ text: String, _ length: BodyLength = .chunked) -> (String, Int, BodyDecoder.Event) {
        decode(text.octets, length)
    }

    @Test("A body of no bytes is finished before it begins")
    func empty() {
        for length in [BodyLength.none, .bytes(0)] {
            var decoder = BodyDecoder(length)
            #expect(decoder.isFinished)
            #expect(decode("GET", length) == ("", 0, .end))
            #expect(decoder.connectionEnded() == .end)
        }
    }

    @Test("A counted body takes its bytes and leaves the rest")
    func counted() {
        #expect(decode("hello world", .bytes(5)) == ("hello", 5, .end))
        var decoder = BodyDecoder(.bytes(5))
        let first = decoder.next(ByteView("hel"))
        #expect(first == (3, .data(0..<3)) && !decoder.isFinished)
        #expect(decoder.next(ByteView("")) == (0, .needsMore))
        let second = decoder.next(ByteView("lo!"))
        #expect(second == (2, .data(0..<2)) && decoder.isFinished)
        #expect(decoder.next(ByteView("!")) == (0, .end))
    }

    @Test("A body until the end of its connection ends with that, any other is cut short")
    func ends() {
        var endless = BodyDecoder(.untilClose)
        #expect(endless.next(ByteView("abc")) == (3, .data(0..<3)))
        #expect(endless.connectionEnded() == .end && endless.isFinished)
        var counted = BodyDecoder(.bytes(2))
        #expect(counted.connectionEnded() == .invalid(.bodyCutShort))
        #expect(counted.next(ByteView("ab")) == (0, .invalid(.bodyCutShort)))
        for text in ["", "5", "5\r\n", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\nA: b\r\n"] {
            var chunked = BodyDecoder(.chunked)
            text.octets.withByteView { view in
                var rest = view
                while !rest.isEmpty { rest = rest.dropFirst(chunked.next(rest).consumed) }
            }
            #expect(!chunked.isFinished)
            #expect(chunked.connectionEnded() == .invalid(.bodyCutShort))
        }
    }

    @Test("Chunks join to a body")
    func chunks() {
        #expect(decode("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET") == ("hello world", 26, .end))
        #expect(decode("A\r\n0123456789\r\n0\r\n\r\n").0 == "0123456789")
        #expect(decode("00a\r\n0123456789\r\n000\r\n\r\n").0 == "0123456789")
        #expect(decode("5;a\r\nhello\r\n0;b=\"c\"\r\n\r\n") == ("hello", 23, .end))
        #expect(decode("5 \t;a\r\nhello\r\n0\r\n\r\n") == ("hello", 19, .end))
        #expect(decode("0\r\n\r\n") == ("", 5, .end))
        #expect(decode("5\r\nhel") == ("hel", 6, .needsMore))
    }

    static let invalidChunks: [(String, HTTP1Error)] = [
        ("\r", .invalidChunkSize), ("g", .invalidChunkSize), (" 5", .invalidChunkSize),
        ("-1", .invalidChunkSize),
        ("+1", .invalidChunkSize), ("0x5", .invalidChunkSize), ("5,", .invalidChunkSize),
        (";a", .invalidChunkSize),
        ("5 \r", .invalidChunkSize), ("5 5", .invalidChunkSize), ("_5", .invalidChunkSize),
        ("10000000000000000", .invalidChunkSize), ("00000000000000005", .invalidChunkSize),
        ("8000000000000000", .invalidChunkSize), ("ffffffffffffffff", .invalidChunkSize),
        ("\n", .bareLineFeed), ("5\n", .bareLineFeed), ("5;a\n", .bareLineFeed), ("5 \n", .bareLineFeed),
        ("5\r\r", .bareCarriageReturn), ("5\rh", .bareCarriageReturn), ("5;a\rb", .bareCarriageReturn),
        ("5;\0", .invalidChunkExtension), ("5;a\u{7f}", .invalidChunkExtension),
        ("1\r\nab", .invalidChunkEnd), ("1\r\na\n", .bareLineFeed), ("1\r\na\rb", .bareCarriageReturn),
        ("0\r\n\rx", .bareCarriageReturn), ("0\r\n\n", .bareLineFeed), ("0\r\n:", .emptyFieldName),
        ("0\r\n a", .lineFolding), ("0\r\na b", .spaceBeforeColon), ("0\r\na\r", .invalidFieldName),
        ("0\r\na: b\n", .bareLineFeed), ("0\r\na: \0", .invalidFieldValue),
        ("0\r\na: b\rc", .bareCarriageReturn),
        ("0\r\na: b\r\n c", .lineFolding),
    ]

    @Test(
        "Malformed chunks are refused at their first wrong byte, and stay refused", arguments: invalidChunks)
    func invalid(text: String, error: HTTP1Error) {
        let (_, _, event) = decode(text)
        #expect(event == .invalid(error))
        var decoder = BodyDecoder(.chunked)
        var rest = text.octets[...]
        while !rest.isEmpty {
            let (consumed, event) = Array(rest.prefix(1)).withByteView { decoder.next($0) }
            if event == .invalid(error) { break }
            #expect(event != .end)
            rest = rest.dropFirst(consumed)
        }
        #expect(!rest.isEmpty)
        #expect(decoder.next(ByteView("0\r\n\r\n")).event == .invalid(error))
        #expect(decoder.connectionEnded() == .invalid(error) && !decoder.isFinished)
    }

    @Test("The largest chunk is one that a signed number can count")
    func largest() {
        var decoder = BodyDecoder(.chunked)
        #expect(decoder.next(ByteView("7fffffffffffffff\r\na")) == (19, .data(18..<19)))
    }

    @Test("Extensions may have a fixed number of bytes beyond those of the data")
    func extensionBound() {
        let bound = HTTP1Limits.chunkExtensionBytesMax
        func chunk(extensionCount: Int, dataCount: Int) -> String {
            let name = String(repeating: "x", count: extensionCount - 1)
            let data = String(repeating: "d", count: dataCount)
            return String(dataCount, radix: 16) + ";" + name + "\r\n" + data + "\r\n"
        }
        let allowed = decode(chunk(extensionCount: bound, dataCount: 1) + "0\r\n\r\n")
        #expect(allowed.2 == .end)
        let refused = decode(chunk(extensionCount: bound + 1, dataCount: 1))
        #expect(refused.2 == .invalid(.chunkExtensionsTooLarge))
        let mean = (0..<(bound / 9 + 1)).map { _ in chunk(extensionCount: 10, dataCount: 1) }.joined()
        #expect(decode(mean).2 == .invalid(.chunkExtensionsTooLarge))
        let fair = (0..<1000).map { _ in chunk(extensionCount: 85, dataCount: 100) }.joined()
        #expect(decode(fair + "0\r\n\r\n").2 == .end)
    }

    @Test("A trailer section is announced, and then read by its owner")
    func readTrailers() {
        var decoder = BodyDecoder(.chunked)
        #expect(decoder.next(ByteView("0\r\n")) == (3, .needsMore))
        let section = "Grpc-Status: 0\r\ncontent-length: 1\r\nX: y\r\n\r\nGET".octets
        section.withByteView { view in
            #expect(decoder.next(view) == (0, .trailers))
            var (head, progress) = (MessageHead(), HeadProgress())
            for count in 0..<(view.count - 3) {
                let partial = view.prefix(count)
                #expect(HTTP1Parser.parseTrailers(partial, into: &head, progress: &progress) == .needsMore)
            }
            #expect(HTTP1Parser.parseTrailers(view, into: &head, progress: &progress) == .complete)
            #expect(Int(head.length) == view.count - 3 && head.count == 3 && head.fieldsStart == 0)
            #expect(head.value(of: .grpcStatus, in: view)?.text == "0")
            #expect((0..<3).map { head.field($0).isConnectionOption } == [false, true, false])
        }
        decoder.trailersRead()
        #expect(decoder.isFinished)
    }

    @Test("Trailers are bounded in bytes and in number, read or dropped", arguments: [true, false])
    func trailerBounds(isRead: Bool) {
        func event(_ section: String) -> HeadResult {
            guard isRead else {
                switch decode("0\r\n" + section).2 {
                case .end: return .complete
                case .invalid(let error): return .invalid(error)
                case .needsMore, .data, .trailers: return .needsMore
                }
            }
            var (head, progress) = (MessageHead(), HeadProgress())
            return section.octets.withByteView {
                HTTP1Parser.parseTrailers($0, into: &head, progress: &progress)
            }
        }
        let (bytes, fields) = (HTTP1Limits.trailerBytesMax, HTTP1Limits.trailerFieldsMax)
        let line = { (count: Int) in "A: " + String(repeating: "b", count: count - 5) + "\r\n" }
        #expect(event(line(bytes - 2) + "\r\n") == .complete)
        #expect(event(line(bytes - 1) + "\r\n") == .invalid(.trailersTooLarge))
        #expect(event(String(line(bytes + 2).unicodeScalars.prefix(bytes - 1))) == .needsMore)
        #expect(event(String(line(bytes + 2).unicodeScalars.prefix(bytes))) == .invalid(.trailersTooLarge))
        #expect(event(String(repeating: "a:\r\n", count: fields) + "\r\n") == .complete)
        #expect(event(String(repeating: "a:\r\n", count: fields) + "a:") == .invalid(.trailersTooLarge))
    }

    @Test("What the writer chunks the decoder joins again", arguments: UInt64(0)..<50)
    func roundTrip(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var pool = BufferPool()
        var buffer = pool.take(BufferPool.sizes.large)
        var content: [UInt8] = []
        for _ in 0..<random.below(20) {
            let data = (0..<random.below(300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            content += data
            #expect(data.withByteView { HTTP1Writer.appendChunk($0, to: &buffer) })
        }
        #expect(HTTP1Writer.appendLastChunk(to: &buffer))
        let bytes = buffer.view.bytes
        pool.give(&buffer)
        let whole = decode(bytes)
        #expect(whole == (text(content), bytes.count, .end))
    }
}
