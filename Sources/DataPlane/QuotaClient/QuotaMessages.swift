import MeshPrimitives
import Proxy
import TrafficPolicy

/// Messages of envoy.service.rate_limit_quota.v3.
enum QuotaMessages {
    struct Action: Equatable {
        enum Kind: Equatable {
            case assign(QuotaAssignment)
            case abandon
        }

        var id: [String: String]
        var kind: Kind
    }

    /// A `RateLimitQuotaUsageReports`.
    static func report(_ domain: String, _ usages: [(entry: QuotaEntry, usage: QuotaUsage)]) -> [UInt8] {
        var message: [UInt8] = []
        message.appendText(1, domain)
        for (entry, usage) in usages {
            message.appendMessage(2) { inner in
                inner.appendMessage(1) { id in
                    for (key, value) in entry.id.sorted(by: { $0.key < $1.key }) {
                        id.appendMessage(1) { pair in
                            pair.appendText(1, key)
                            pair.appendText(2, value)
                        }
                    }
                }
                // Never 0, which the message's rules forbid.
                let elapsed = max(usage.elapsed, 1)
                inner.appendMessage(2) { duration in
                    duration.appendNumber(1, UInt64(elapsed / 1_000_000_000))
                    duration.appendNumber(2, UInt64(elapsed % 1_000_000_000))
                }
                inner.appendNumber(3, usage.allowed)
                inner.appendNumber(4, usage.denied)
            }
        }
        return message
    }

    /// Of a `RateLimitQuotaResponse`; nil if it is none. Actions that nothing is known of are left out.
    static func actions(_ message: [UInt8]) -> [Action]? {
        message.withByteView { bytes in
            var actions: [Action] = []
            var fields = ProtobufFields(bytes)
            while let (number, value) = fields.next() {
                guard number == 1, case .bytes(let bytes) = value else { continue }
                guard let action = action(bytes) else { return nil }
                actions += action
            }
            return fields.isBroken ? nil : actions
        }
    }

    private static func action(_ bytes: ByteView) -> [Action]? {
        var id: [String: String] = [:]
        var kind: Action.Kind?
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            guard case .bytes(let bytes) = value else { continue }
            switch number {
            case 1: id = self.id(bytes)
            case 2: kind = assignment(bytes).map { .assign($0) }
            case 3: kind = .abandon
            default: break
            }
        }
        guard !fields.isBroken else { return nil }
        return kind.map { [Action(id: id, kind: $0)] } ?? []
    }

    private static func id(_ bytes: ByteView) -> [String: String] {
        var id: [String: String] = [:]
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            guard number == 1, case .bytes(let bytes) = value else { continue }
            var (key, text) = ("", "")
            var pair = ProtobufFields(bytes)
            while let (number, value) = pair.next() {
                guard case .bytes(let bytes) = value else { continue }
                if number == 1 { key = bytes.text } else if number == 2 { text = bytes.text }
            }
            id[key] = text
        }
        return id
    }

    private static func assignment(_ bytes: ByteView) -> QuotaAssignment? {
        var assignment = QuotaAssignment(perSecond: .infinity, lifetime: 0)
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            guard case .bytes(let bytes) = value else { continue }
            // An assignment that lives for no time at all has ended at once.
            if number == 2 { assignment.lifetime = max(duration(bytes), 1) }
            if number == 3 {
                guard let rate = strategy(bytes) else { return nil }
                assignment.perSecond = rate
            }
        }
        return fields.isBroken ? nil : assignment
    }

    /// Nanoseconds of a `Duration`; a negative one is none.
    private static func duration(_ bytes: ByteView) -> Int64 {
        var (seconds, rest): (UInt64, UInt64) = (0, 0)
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            guard case .number(let part) = value else { continue }
            if number == 1 { seconds = part } else if number == 2 { rest = part }
        }
        guard seconds < 1 << 33, rest < 1_000_000_000 else { return 0 }
        return Int64(seconds) * 1_000_000_000 + Int64(rest)
    }

    /// Requests a second; nil: a strategy that nothing is known of.
    private static func strategy(_ bytes: ByteView) -> Double? {
        // Without any of them a strategy says nothing: all are let through, as by `ALLOW_ALL`.
        var rate = Double.infinity
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            switch (number, value) {
            case (1, .number(let rule)): rate = rule == 1 ? 0 : .infinity
            case (2, .bytes(let bytes)): rate = perTime(bytes)
            case (3, .bytes(let bytes)): rate = bucketRate(bytes)
            default: return nil
            }
        }
        return fields.isBroken ? nil : rate
    }

    private static func perTime(_ bytes: ByteView) -> Double {
        var (count, unit): (UInt64, UInt64) = (0, 1)
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            guard case .number(let part) = value else { continue }
            if number == 1 { count = part } else if number == 2 { unit = part }
        }
        return Double(count) / RateLimitUnit(number: Int32(clamping: unit)).seconds
    }

    private static func bucketRate(_ bytes: ByteView) -> Double {
        var (tokens, interval): (UInt64, Int64) = (1, 0)
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            guard case .bytes(let bytes) = value else { continue }
            if number == 3 { interval = duration(bytes) }
            if number == 2 {
                var wrapper = ProtobufFields(bytes)
                tokens = 0
                while let (number, value) = wrapper.next() {
                    if number == 1, case .number(let count) = value { tokens = count }
                }
            }
        }
        return interval > 0 ? Double(tokens) * 1e9 / Double(interval) : 0
    }
}

extension [UInt8] {
    fileprivate mutating func appendText(_ number: UInt8, _ text: String) {
        text.withByteView { appendField(number, $0) }
    }

    fileprivate mutating func appendMessage(_ number: UInt8, _ body: (inout [UInt8]) -> Void) {
        var inner: [UInt8] = []
        body(&inner)
        inner.withByteView { appendField(number, $0) }
    }

    /// Zero is not written.
    fileprivate mutating func appendNumber(_ number: UInt8, _ value: UInt64) {
        guard value > 0 else { return }
        append(number << 3)
        appendVarint(Int(clamping: value))
    }
}
