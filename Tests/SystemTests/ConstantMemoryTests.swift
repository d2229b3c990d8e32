import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Memory stays bounded")
    struct ConstantMemoryTests {
        static let gibibyte = 1 << 30
        /// What a body in flight may add, in KiB: buffers of both directions, and those of the kernel do not count.
        static let growthMax = 8 << 10

        @Test("An answer of a gibibyte passes in constant memory, read slowly at first")
        func longAnswer() throws {
            let peer = try HTTPPeer { _ in .long(Self.gibibyte) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            _ = try proxy.fetch("HEAD")
            let before = try proxy.process.residentKiB()
            let stream = try proxy.connect()
            stream.patience = 60
            try stream.sendRequest()
            guard let head = try proxy.explaining({ try stream.readHead() }) else {
                throw TestFailure("no answer")
            }
            #expect(head["content-length"] == "\(Self.gibibyte)")
            usleep(300_000)
            #expect(try proxy.process.residentKiB() < before + Self.growthMax, "after a pause of the reader")
            var left = Self.gibibyte
            while left > 0 {
                let came = try proxy.explaining { try stream.discard(min(left, 256 << 20)) }
                guard came > 0 else {
                    throw TestFailure("the answer ended with \(left) bytes to come\n\(proxy.process.logTail)")
                }
                left -= came
                let now = try proxy.process.residentKiB()
                #expect(
                    now < before + Self.growthMax, "grew from \(before) to \(now) KiB, \(left) bytes to come")
            }
        }

        @Test("A request of a gibibyte passes in constant memory")
        func longRequest() throws {
            let peer = try HTTPPeer { .answer(200, body: "\($0.message.bodyCount)") }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            _ = try proxy.fetch()
            let before = try proxy.process.residentKiB()
            let stream = try proxy.connect()
            stream.patience = 60
            try stream.sendRequest("POST", "/", fields: [("content-length", "\(Self.gibibyte)")])
            let piece = [UInt8](repeating: 0x7a, count: 1 << 20)
            for number in 0..<(Self.gibibyte >> 20) {
                try proxy.explaining { try stream.send(piece) }
                guard number % 256 == 255 else { continue }
                let now = try proxy.process.residentKiB()
                #expect(
                    now < before + Self.growthMax, "grew from \(before) to \(now) KiB after \(number + 1) MiB"
                )
            }
            #expect(try proxy.explaining { try stream.readAnswer() }.text == "\(Self.gibibyte)")
        }

        @Test("An idle proxy is small, and soon ready")
        func idle() throws {
            let peer = try HTTPPeer()
            let (seconds, proxy) = try timed { try ProxyUnderTest(Bootstrap(peer.port)) }
            // Budgets of the release binary are measured by `make bench`; the debug binary is larger and slower.
            #expect(try proxy.process.residentKiB() < 60 << 10)
            #expect(seconds < 3)
        }
    }
}
