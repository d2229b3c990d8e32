import MeshPrimitives
import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct ClientHelloInspectorTests {
    private func makeHello() throws -> [UInt8] {
        let context = try TestMesh().client { $0.applicationProtocols = ["h2", "http/1.1"] }
        return try TestPeer(context, serverName: "Orders.Shop").drive()
    }

    private let expected = ClientHelloInspector.Result.hello(
        serverName: "orders.shop", applicationProtocols: ["h2", "http/1.1"])

    @Test("Every beginning of a ClientHello wants more, and all of it is read")
    func splits() throws {
        let hello = try makeHello()
        for count in 0..<hello.count {
            let result = Array(hello.prefix(count)).withByteView { ClientHelloInspector.inspect($0) }
            #expect(result == .needMore)
            let isHello = Array(hello.prefix(count)).withByteView { isTLSClientHello($0) }
            #expect(isHello == (count < 6 ? nil : true))
        }
        #expect(hello.withByteView { ClientHelloInspector.inspect($0) } == expected)
        #expect((hello + [1, 2, 3]).withByteView { ClientHelloInspector.inspect($0) } == expected)
    }

    @Test("A ClientHello may be spread over records", arguments: [1, 2, 3, 5, 50, 300])
    func fragments(size: Int) throws {
        let hello = try makeHello()
        var spread: [UInt8] = []
        for start in stride(from: 5, to: hello.count, by: size) {
            let piece = hello[start..<min(start + size, hello.count)]
            spread += [22, 3, 1, UInt8(piece.count >> 8), UInt8(piece.count & 255)] + piece
        }
        // A first record below four bytes is not worth an exception: nobody sends it.
        let result = spread.withByteView { ClientHelloInspector.inspect($0) }
        #expect(result == (size < 4 ? .notTLS : expected))
        if size >= 4 {
            for count in 0..<spread.count {
                #expect(
                    Array(spread.prefix(count)).withByteView { ClientHelloInspector.inspect($0) } == .needMore
                )
            }
        }
    }

    @Test(
        "Other protocols are told from the first byte that differs",
        arguments: [
            "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "\u{16}\u{3}\u{1}\u{7f}", "\u{16}\u{3}\u{9}",
            "\u{15}\u{3}\u{1}\u{0}\u{2}",
            "\u{16}\u{3}\u{1}\u{0}\u{1}", "\u{16}\u{3}\u{1}\u{1}\u{0}\u{2}",
        ])
    func otherProtocols(text: String) {
        text.withByteView { bytes in
            #expect(isTLSClientHello(bytes) == false)
            #expect(ClientHelloInspector.inspect(bytes) == .notTLS)
        }
    }

    @Test("Changed bytes and wrong lengths never do harm", arguments: UInt64(0)..<300)
    func fuzz(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var hello = try makeHello()
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            hello[Int.random(in: 5..<hello.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        hello.withByteView { bytes in
            _ = ClientHelloInspector.inspect(bytes)
            _ = ClientHelloInspector.inspect(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
        }
    }

    @Test("A ClientHello without end is given up at the bound")
    func endless() {
        let record: [UInt8] = [22, 3, 1, 0x10, 0] + [1, 0, 0xff, 0xff] + [UInt8](repeating: 0, count: 4092)
        #expect(record.withByteView { ClientHelloInspector.inspect($0) } == .notTLS)
        let inBound: [UInt8] = [22, 3, 1, 0x10, 0] + [1, 0, 0x3f, 0xf0] + [UInt8](repeating: 0, count: 4092)
        #expect(inBound.withByteView { ClientHelloInspector.inspect($0) } == .needMore)
        let records = [[UInt8]](repeating: [22, 3, 1, 0, 4, 1, 0, 0x3f, 0xf0], count: 3000).flatMap { $0 }
        #expect(records.withByteView { ClientHelloInspector.inspect($0) } == .notTLS)
    }
}
