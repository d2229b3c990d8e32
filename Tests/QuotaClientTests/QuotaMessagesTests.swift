import MeshModel
import MeshPrimitives
import Testing
import TrafficPolicy

@testable import Proxy
@testable import QuotaClient

@Suite("Reports of use and assignments of shares, on the wire")
struct QuotaMessagesTests {
    private func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(bytes.count)] + bytes
    }
    private func text(_ number: UInt8, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

    /// Of the bucket `a: b`.
    private func action(_ kind: [UInt8]) -> [UInt8] {
        field(1, field(1, field(1, text(1, "a") + text(2, "b"))) + kind)
    }

    private func assigned(_ strategy: [UInt8], lifetime: [UInt8] = []) -> [UInt8] {
        action(field(2, lifetime + field(3, strategy)))
    }

    @Test("A report names the bucket, the time and what was used")
    func report() {
        let entry = QuotaEntry(
            GlobalRateLimit.Service(cluster: "c"), "d", ["b": "2", "a": "1"], QuotaBucket.Settings(),
            reportInterval: .seconds(1), isOpen: false, at: .zero)
        let usage = QuotaUsage(allowed: 300, denied: 0, elapsed: 1_000_000_002)
        let id =
            field(1, text(1, "a") + text(2, "1")) + field(1, text(1, "b") + text(2, "2"))
        let expected =
            text(1, "d") + field(2, field(1, id) + field(2, [8, 1, 16, 2]) + [24, 0xac, 0x02])
        #expect(QuotaMessages.report("d", [(entry, usage)]) == expected)
    }

    @Test("Every strategy becomes a rate")
    func strategies() {
        let cases: [([UInt8], Double)] = [
            ([8, 0], .infinity), ([8, 1], 0), ([], .infinity), (field(2, [8, 30, 16, 2]), 0.5),
            (field(2, [8, 5, 16, 1]), 5),
            // 3 tokens every 0.5 s.
            (field(3, [8, 9] + field(2, [8, 3]) + field(3, [16, 0x80, 0xca, 0xb5, 0xee, 0x01])), 6),
        ]
        for (strategy, rate) in cases {
            #expect(
                QuotaMessages.actions(assigned(strategy))
                    == [.init(id: ["a": "b"], kind: .assign(QuotaAssignment(perSecond: rate, lifetime: 0)))])
        }
        #expect(
            QuotaMessages.actions(assigned([8, 1], lifetime: field(2, [8, 4])))
                == [
                    .init(
                        id: ["a": "b"],
                        kind: .assign(QuotaAssignment(perSecond: 0, lifetime: 4_000_000_000)))
                ])
        #expect(QuotaMessages.actions(action(field(3, []))) == [.init(id: ["a": "b"], kind: .abandon)])
        // Nothing is known of the strategy, or of the action: nothing is done.
        #expect(QuotaMessages.actions(assigned(field(7, []))) == [])
        #expect(QuotaMessages.actions(action(field(9, []))) == [])
    }

    @Test("Bytes that are cut or changed are no message, or another one, and never more")
    func garbage() {
        let message = assigned(field(2, [8, 30, 16, 2]), lifetime: field(2, [8, 4]))
        for count in message.indices.dropFirst() {
            #expect(QuotaMessages.actions(Array(message[..<count])) == nil)
        }
        for index in message.indices {
            for bit in 0..<8 {
                var changed = message
                changed[index] ^= 1 << UInt8(bit)
                _ = QuotaMessages.actions(changed)
            }
        }
    }
}
