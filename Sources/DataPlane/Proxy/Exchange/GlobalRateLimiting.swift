import HTTPModel
import MeshModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// The rate limit of a service elsewhere (envoy.service.ratelimit.v3.RateLimitService): each request asks, by its
/// descriptors, and waits for the answer.
extension Worker {
    /// What the service has decided (`RateLimitResponse.Code`).
    private enum Code { case ok, overLimit, unknown }

    /// false: the request was answered, or waits.
    mutating func passGlobalRateLimit(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let index = settings(exchange, filter)
        guard index >= 0 else { return true }
        let record = shelf.tables(exchange.value.snapshot).filters.globalLimits.reference(index)
        if exchange.value.verdict != .none { return judge(exchange, record, index) }
        guard exchange.value.hasRoute, exchange.route.action == .forward, concerns(record, exchange),
            record.value.enabled.contains(&random), chooseCluster(exchange) != nil,
            writeQuestion(record, exchange)
        else { return true }
        exchange.value.askedBy = Int32(index)
        ask(
            exchange, service: record.value.service, head: record.value.head, timeout: record.value.timeout)
        return false
    }

    private func concerns(_ record: Reference<GlobalLimitRecord>, _ exchange: ExchangePlace) -> Bool {
        switch record.value.requests {
        case .all: true
        case .internalOnes: exchange.value.isInternal
        case .externalOnes: !exchange.value.isInternal
        }
    }

    // MARK: The question

    private struct Entry: BitwiseCopyable {
        var key = ByteView("")
        var value = ByteView("")
    }

    /// A `RateLimitRequest` in `line`, with its gRPC prefix; false if the request has no descriptor.
    private mutating func writeQuestion(
        _ record: Reference<GlobalLimitRecord>, _ exchange: ExchangePlace
    ) -> Bool {
        scratch.removeAll()
        var message: [UInt8] = []
        swap(&message, &line)
        defer { swap(&message, &line) }
        message.removeAll(keepingCapacity: true)
        for _ in 0..<5 { message.append(0) }
        message.appendField(1, record.value.domain)
        let start = message.count
        if record.value.rules.isEmpty {
            let rules = exchange.route.rateLimitRules
            write(rules, of: record.value.stage, exchange, to: &message)
            if asksHost(exchange, record.value.hostRules) {
                let host = exchange.chain.http.routes.hosts.reference(Int(exchange.value.host))
                write(host.value.rateLimitRules, of: record.value.stage, exchange, to: &message)
            }
        } else {
            write(record.value.rules, of: nil, exchange, to: &message)
        }
        let length = message.count - 5
        for place in 0..<4 { message[1 + place] = UInt8(truncatingIfNeeded: length >> (8 * (3 - place))) }
        return message.count > start
    }

    private mutating func write(
        _ rules: Table<RateLimitRuleRecord>, of stage: UInt8?, _ exchange: ExchangePlace,
        to message: inout [UInt8]
    ) {
        for index in rules.indices {
            let rule = rules.reference(index)
            if let stage, rule.value.stage != stage { continue }
            guard rule.value.enabled.contains(&random) else { continue }
            var entries = InlineArray<10, Entry>(repeating: Entry())
            let count = collect(rule.value.actions, exchange, into: &entries)
            guard count > 0 else { continue }
            var length = 0
            for place in 0..<count { length += [UInt8].fieldLength(Self.length(entries[place])) }
            var hits: [UInt8] = []
            if rule.value.hits >= 0 {
                // `hits_addend`, a UInt64Value; no field of it says 0.
                var number: [UInt8] = []
                if rule.value.hits > 0 {
                    number.append(1 << 3)
                    number.appendVarint(Int(rule.value.hits))
                }
                hits.append(3 << 3 | 2)
                hits.appendVarint(number.count)
                hits += number
            }
            length += hits.count
            message.append(2 << 3 | 2)
            message.appendVarint(length)
            for place in 0..<count {
                message.append(1 << 3 | 2)
                message.appendVarint(Self.length(entries[place]))
                message.appendField(1, entries[place].key)
                message.appendField(2, entries[place].value)
            }
            message += hits
        }
    }

    private static func length(_ entry: Entry) -> Int {
        [UInt8].fieldLength(entry.key.count) + [UInt8].fieldLength(entry.value.count)
    }

    /// How many entries the descriptor has; 0: there is none.
    private mutating func collect(
        _ actions: Table<RateLimitActionRecord>, _ exchange: ExchangePlace,
        into entries: inout InlineArray<10, Entry>
    ) -> Int {
        var count = 0
        for index in actions.indices {
            let action = actions.reference(index)
            switch descriptorValue(action, exchange) {
            case .value(let value):
                guard count < 10 else { return 0 }
                entries[count] = Entry(key: action.value.keyText, value: value)
                count += 1
            case .left: break
            case .none: return 0
            }
        }
        return count
    }

    // MARK: The answer

    /// What becomes of the request now that there is a verdict; false if it was answered.
    private mutating func judge(
        _ exchange: ExchangePlace, _ record: Reference<GlobalLimitRecord>, _ index: Int
    ) -> Bool {
        let isAnswered = exchange.value.verdict == .answered
        exchange.value.verdict = .none
        var body = ByteView("")
        let code = isAnswered ? readCode(exchange, &body) : .unknown
        guard let cluster = chooseCluster(exchange) else { return true }
        let scope = clusterScope(slot: shelf.tables(exchange.value.snapshot).clusters[cluster].slot)
        switch code {
        case .ok:
            counters.add(scope, .ratelimitOk)
            return true
        case .overLimit:
            counters.add(scope, .ratelimitOverLimit)
            counters.countAnswer(scope, status: record.value.status)
            guard record.value.enforced.contains(&random) else {
                exchange.value.record.shadows.insert(.rateLimit)
                return true
            }
            exchange.value.refusedBy = Int32(index)
            var answer = LocalAnswer(
                record.value.status, flag: .rateLimited, details: .requestRateLimited,
                proxyStatus: "http_request_denied")
            answer.body = StaticText(body)
            if record.value.asResourceExhausted { answer.grpcStatus = 8 }
            answerLocally(exchange, answer)
            return false
        case .unknown:
            counters.add(scope, .ratelimitError)
            guard record.value.deniedWithoutAnswer.contains(&random) else {
                counters.add(scope, .ratelimitFailureModeAllowed)
                return true
            }
            answerLocally(
                exchange,
                LocalAnswer(
                    record.value.statusOnError, flag: .rateLimitServiceError, details: .rateLimiterError,
                    proxyStatus: "proxy_internal_error"))
            return false
        }
    }

    /// Of the last message; what it says in place of a body, too.
    private func readCode(_ exchange: ExchangePlace, _ body: inout ByteView) -> Code {
        var fields = ProtobufFields(exchange.value.said.view.dropFirst(Int(exchange.value.saidBefore)))
        var code = Code.unknown
        while let (number, value) = fields.next() {
            switch (number, value) {
            case (1, .number(1)): code = .ok
            case (1, .number(2)): code = .overLimit
            case (5, .bytes(let bytes)): body = bytes
            default: break
            }
        }
        return fields.isBroken ? .unknown : code
    }

    // MARK: Fields

    /// What the service adds to the request, or to the answer.
    mutating func addSaidFields(_ exchange: ExchangePlace, _ head: EditedHead) {
        var wanted: UInt32 = 4
        if case .answer = head { wanted = 3 }
        var fields = ProtobufFields(exchange.value.said.view)
        while let (number, value) = fields.next() {
            guard number == wanted, case .bytes(let bytes) = value else { continue }
            var (name, text) = (ByteView(""), ByteView(""))
            var parts = ProtobufFields(bytes)
            while let (number, value) = parts.next() {
                guard case .bytes(let bytes) = value else { continue }
                if number == 1 { name = bytes }
                if number == 2 || (number == 3 && text.isEmpty) { text = bytes }
            }
            addSaidField(name, text, head)
        }
    }

    /// Nothing that could break a head apart, whatever the service says.
    private mutating func addSaidField(_ name: ByteView, _ value: ByteView, _ head: EditedHead) {
        guard !name.isEmpty, name.count < 256,
            name.indices.allSatisfy({ name[$0].isTokenCharacter }),
            value.indices.allSatisfy({ value[$0] == 0x09 || (value[$0] >= 0x20 && value[$0] != 0x7f) })
        else { return }
        let start = scratch.count
        for index in name.indices { _ = scratch.append(name[index].asciiLowercased) }
        let lower = scratch.view.dropFirst(start)
        let known = FieldName(lower)
        if known.isHopByHop || known == .contentLength || known == .host { return }
        if case .answer = head {
            answerIsEdited = true
            // The service's type of a body goes before ours.
            if known == .contentType { return edits.set(known, lower, value) }
        }
        edits.add(lower, value)
    }

    mutating func editGlobalLimit(_ exchange: ExchangePlace, _ filter: Int) {
        let index = settings(exchange, filter)
        guard index >= 0, exchange.value.said.isAllocated else { return }
        let record = shelf.tables(exchange.value.snapshot).filters.globalLimits.reference(index)
        if isFirstGlobalLimit(exchange, filter) { addSaidFields(exchange, .answer(ByteView(""))) }
        if record.value.sendsHeaders, Int(exchange.value.askedBy) == index { addLimitFields(exchange) }
        guard Int(exchange.value.refusedBy) == index else { return }
        answerIsEdited = true
        if record.value.marksRefusals { edits.add(.xEnvoyRatelimited, ByteView("true")) }
        if record.value.answerEdits >= 0 {
            applyEdits(record.value.answerEdits, exchange, .answer(ByteView("")))
        }
    }

    private mutating func addLimitFields(_ exchange: ExchangePlace) {
        var statuses: [RateLimitStatus] = []
        var fields = ProtobufFields(
            exchange.value.said.view.dropFirst(Int(exchange.value.saidBefore)))
        while let (number, value) = fields.next() {
            if number == 2, case .bytes(let bytes) = value { statuses.append(Self.status(bytes)) }
        }
        guard let values = RateLimitFields.values(statuses) else { return }
        for (name, text) in [
            (FieldName.xRatelimitLimit, values.limit), (.xRatelimitRemaining, values.remaining),
            (.xRatelimitReset, values.reset),
        ] {
            edits.add(name, text.withByteView { scratch.store($0) })
        }
    }

    private static func status(_ bytes: ByteView) -> RateLimitStatus {
        var status = RateLimitStatus(requestsPerUnit: 0, unitSeconds: 0, remaining: 0, resetSeconds: 0)
        var fields = ProtobufFields(bytes)
        while let (number, value) = fields.next() {
            switch (number, value) {
            case (2, .bytes(let limit)): read(limit, into: &status)
            case (3, .number(let count)): status.remaining = UInt32(clamping: count)
            case (4, .bytes(let duration)):
                var parts = ProtobufFields(duration)
                while let (number, value) = parts.next() {
                    if number == 1, case .number(let seconds) = value {
                        status.resetSeconds = UInt32(clamping: seconds)
                    }
                }
            default: break
            }
        }
        return status
    }

    private static func read(_ limit: ByteView, into status: inout RateLimitStatus) {
        var fields = ProtobufFields(limit)
        while let (number, value) = fields.next() {
            switch (number, value) {
            case (1, .number(let count)): status.requestsPerUnit = UInt32(clamping: count)
            case (2, .number(let unit)): status.unitSeconds = seconds(ofUnit: unit)
            case (3, .bytes(let name)): status.name = name.text
            default: break
            }
        }
    }

    /// What services have said is put in once, however many filters have asked.
    func isFirstGlobalLimit(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let filters = exchange.chain.http.filters
        return !(0..<filter).contains { filters[$0].kind == .globalRateLimit }
    }

    /// `RateLimitResponse.RateLimit.Unit`.
    private static func seconds(ofUnit unit: UInt64) -> UInt32 {
        switch unit {
        case 1: 1
        case 2: 60
        case 3: 3600
        case 4: 86_400
        case 5: 30 * 86_400
        case 6: 365 * 86_400
        case 7: 7 * 86_400
        default: 0
        }
    }
}

extension UInt8 {
    /// RFC 9110 section 5.6.2
    fileprivate var isTokenCharacter: Bool {
        switch self {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x5e...0x60, 0x7c, 0x7e: true
        default: false
        }
    }
}
