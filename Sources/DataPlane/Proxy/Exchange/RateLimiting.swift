import HTTPModel
import MeshModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Local rate limits, and the descriptors that rules make of a request.
extension Worker {
    /// false: the request was answered.
    @inline(__always)
    mutating func passRateLimit(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let index = settings(exchange, filter)
        guard index >= 0 else { return true }
        let record = shelf.tables(exchange.value.snapshot).rateLimits.reference(index)
        guard record.value.enabled.contains(&random) else { return true }
        let scope = record.value.scope
        counters.add(scope, .enabled)
        guard let decision = takeToken(record, exchange) else {
            counters.add(scope, .ok)
            return true
        }
        if exchange.value.rateLimitRecord >= 0 { keepEarlierLimit(exchange) }
        let isTold = record.value.sendsHeaders || record.value.sendsRetryAfter
        exchange.value.rateLimit = isTold ? decision : nil
        exchange.value.record.limiter = decision.isAllowed ? .allowed : .wouldRefuse
        exchange.value.record.limiterPlace = record.value.place
        exchange.value.record.limiterMax = decision.limit
        exchange.value.record.limiterRemaining = decision.remaining
        exchange.value.rateLimitRecord = Int32(index)
        if decision.isAllowed {
            counters.add(scope, .ok)
            return true
        }
        counters.add(scope, .rateLimited)
        guard record.value.enforced.contains(&random) else {
            exchange.value.record.shadows.insert(.rateLimit)
            if record.value.requestEdits >= 0 { exchange.value.overLimit = Int32(index) }
            return true
        }
        counters.add(scope, .enforced)
        exchange.value.record.limiter = .refused
        var answer = LocalAnswer.rateLimited
        answer.status = record.value.status
        exchange.value.isRateLimited = true
        answerLocally(exchange, answer)
        return false
    }

    /// Another limit has been asked before: what it tells the caller is kept as text, each number with a space behind it.
    @inline(never)
    private mutating func keepEarlierLimit(_ exchange: ExchangePlace) {
        let earlier = shelf.tables(exchange.value.snapshot).rateLimits.reference(
            Int(exchange.value.rateLimitRecord))
        guard earlier.value.sendsHeaders, let decision = exchange.value.rateLimit else { return }
        if !exchange.value.earlierLimits.isAllocated {
            exchange.value.earlierLimits = pool.take(BufferPool.sizes.small)
        }
        let numbers: InlineArray<3, Int> = [
            Int(decision.limit), Int(decision.remaining), Int(decision.resetSeconds),
        ]
        for index in numbers.indices {
            _ = exchange.value.earlierLimits.append(decimal: numbers[index])
            _ = exchange.value.earlierLimits.append(" ")
        }
    }

    /// nil: nothing limits this request.
    private mutating func takeToken(_ record: Reference<RateLimitRecord>, _ exchange: ExchangePlace)
        -> RateLimitDecision?
    {
        let limiter = record.value.limiter
        guard record.value.isPerConnection else {
            guard record.value.hasDescriptors else { return limiter.with { $0.limit.take(at: now) } }
            return limiter.with { takeToken(record, exchange, $0.limit) }
        }
        let connection = exchange.value.downstream
        let limit = connectionLimits.limit(limiter, first: &connection.value.limitsFirst, at: now)
        guard record.value.hasDescriptors else { return limit.take(at: now) }
        return takeToken(record, exchange, limit)
    }

    private mutating func takeToken(
        _ record: Reference<RateLimitRecord>, _ exchange: ExchangePlace, _ limit: DescriptorRateLimit
    ) -> RateLimitDecision? {
        var found = DescriptorMatches()
        find(&found, record, exchange, limit)
        return limit.take(found, at: now)
    }

    /// The request's descriptors that have buckets of their own.
    private mutating func find(
        _ found: inout DescriptorMatches, _ record: Reference<RateLimitRecord>, _ exchange: ExchangePlace,
        _ limit: DescriptorRateLimit
    ) {
        scratch.removeAll()
        if !record.value.rules.isEmpty {
            return add(record.value.rules, of: nil, exchange, limit, &found)
        }
        guard exchange.value.hasRoute, exchange.route.action == .forward else { return }
        let rules = exchange.route.rateLimitRules
        add(rules, of: record.value.stage, exchange, limit, &found)
        if asksHost(exchange, record.value.hostRules) {
            let host = exchange.chain.http.routes.hosts.reference(Int(exchange.value.host))
            add(host.value.rateLimitRules, of: record.value.stage, exchange, limit, &found)
        }
    }

    /// Whether the virtual host's rules count beside those of the route.
    func asksHost(_ exchange: ExchangePlace, _ hostRules: HostRateLimits) -> Bool {
        if exchange.route.includesHostRateLimits { return true }
        switch hostRules {
        case .whereRouteHasNone: return exchange.route.rateLimitRules.isEmpty
        case .too: return true
        case .never: return false
        }
    }

    private mutating func add(
        _ rules: Table<RateLimitRuleRecord>, of stage: UInt8?, _ exchange: ExchangePlace,
        _ limit: DescriptorRateLimit, _ found: inout DescriptorMatches
    ) {
        for index in rules.indices {
            let rule = rules.reference(index)
            if let stage, rule.value.stage != stage { continue }
            if rule.value.hasDisableKey { continue }
            var descriptor = RequestDescriptor(for: limit.table)
            guard fill(&descriptor, rule.value.actions, exchange) else { continue }
            found.add(descriptor, in: limit, hits: rule.value.hits < 0 ? 1 : UInt32(rule.value.hits))
        }
    }

    private mutating func fill(
        _ descriptor: inout RequestDescriptor, _ actions: Table<RateLimitActionRecord>,
        _ exchange: ExchangePlace
    ) -> Bool {
        for index in actions.indices {
            let action = actions.reference(index)
            switch descriptorValue(action, exchange) {
            case .value(let value): if !descriptor.append(action.value.key, value) { return false }
            case .left: break
            case .none: return false
            }
        }
        return descriptor.count > 0
    }

    // MARK: What actions say

    enum DescriptorValue {
        case value(ByteView)
        /// The action has nothing to say, and the descriptor goes without it.
        case left
        /// There is no descriptor.
        case none
    }

    /// In `scratch` if it has to be made.
    mutating func descriptorValue(
        _ action: Reference<RateLimitActionRecord>, _ exchange: ExchangePlace
    ) -> DescriptorValue {
        let bytes = exchange.value.headBytes.view
        func given(_ value: ByteView?) -> DescriptorValue {
            value.map { .value($0) } ?? (action.value.skipsIfAbsent ? .left : .none)
        }
        switch action.value.kind {
        case .literal: return .value(action.value.value)
        case .header: return given(fieldValue(action, exchange))
        case .parameter:
            let found = QueryMatchRecord.value(of: action.value.name, in: bytes[exchange.head.path.range])
            return given(found.map { decoded($0) })
        case .remoteAddress, .maskedRemoteAddress:
            return exchange.value.record.downstreamRemote.map { .value(addressText(action, $0)) } ?? .none
        case .headerMatch, .parameterMatch:
            return matches(action, exchange) == action.value.isExpected ? .value(action.value.value) : .none
        case .destinationCluster:
            guard exchange.value.hasRoute, exchange.route.action == .forward,
                let cluster = chooseCluster(exchange)
            else { return .none }
            return .value(shelf.tables(exchange.value.snapshot).clusters[cluster].name)
        case .metadata:
            let texts = exchange.route.metadata
            let found = texts.indices.first { texts[$0].place.equals(action.value.name) }
            let value = found.map { texts[$0].value } ?? ByteView("")
            if !value.isEmpty { return .value(value) }
            return given(action.value.value.isEmpty ? nil : action.value.value)
        case .callerIdentity:
            guard let peer = identities[exchange.value.downstream.value.identity],
                let uri = peer.uriSANs.first
            else { return .none }
            return .value(uri.withByteView { scratch.store($0) })
        }
    }

    private func fieldValue(_ action: Reference<RateLimitActionRecord>, _ exchange: ExchangePlace)
        -> ByteView?
    {
        let bytes = exchange.value.headBytes.view
        switch action.value.subject {
        case .field: return exchange.head.value(named: action.value.name, in: bytes)
        case .method: return bytes[exchange.head.methodToken.range]
        case .path: return bytes[exchange.head.path.range]
        case .authority: return bytes[exchange.head.authority.range]
        case .scheme: return ByteView(isHTTPS(exchange) ? "https" : "http")
        }
    }

    private func matches(_ action: Reference<RateLimitActionRecord>, _ exchange: ExchangePlace) -> Bool {
        let bytes = exchange.value.headBytes.view
        if action.value.kind == .parameterMatch {
            let parameters = action.value.parameters
            let target = bytes[exchange.head.path.range]
            return parameters.indices.allSatisfy { parameters[$0].matches(target) }
        }
        let question = RouteQuestion(
            bytes: bytes, isHTTPS: isHTTPS(exchange), chance: exchange.value.chance)
        let headers = action.value.headers
        return headers.indices.allSatisfy { headers[$0].matches(exchange.head, question) }
    }

    private mutating func addressText(
        _ action: Reference<RateLimitActionRecord>, _ address: SocketAddress
    ) -> ByteView {
        let start = scratch.count
        if action.value.kind == .remoteAddress {
            address.appendHost(to: &scratch)
        } else {
            let bits = Int(address.family == .ipv4 ? action.value.v4Bits : action.value.v6Bits)
            address.masked(to: bits).appendHost(to: &scratch)
            _ = scratch.append("/")
            _ = scratch.append(decimal: bits)
        }
        return scratch.view.dropFirst(start)
    }

    /// `%XX` undone (RFC 3986 section 2.1); anything else stays as it stands there.
    private mutating func decoded(_ value: ByteView) -> ByteView {
        guard value.firstIndex(of: UInt8(ascii: "%")) != nil else { return value }
        let start = scratch.count
        var index = 0
        while index < value.count {
            if value[index] == UInt8(ascii: "%"), index + 2 < value.count,
                let high = value[index + 1].hexadecimalDigit, let low = value[index + 2].hexadecimalDigit
            {
                _ = scratch.append(high << 4 | low)
                index += 3
            } else {
                _ = scratch.append(value[index])
                index += 1
            }
        }
        return scratch.view.dropFirst(start)
    }

    // MARK: Connections

    /// false: one connection too many.
    func passConnectionLimits(_ limits: Table<ConnectionLimitRecord>) -> Bool {
        for index in limits.indices {
            let record = limits.reference(index)
            guard let decision = record.value.limiter.with({ $0.limit.take(at: now) }) else { continue }
            if !decision.isAllowed {
                counters.add(record.value.scope, .rateLimited)
                return false
            }
        }
        return true
    }
}

extension SocketAddress {
    /// Only the first `bits` bits are kept.
    fileprivate func masked(to bits: Int) -> SocketAddress {
        switch family {
        case .ipv4:
            let mask: UInt64 = bits <= 0 ? 0 : (0xffff_ffff << UInt64(32 - min(bits, 32))) & 0xffff_ffff
            return SocketAddress(family: .ipv4, high: 0, low: low & mask, port: port)
        case .ipv6:
            let highMask: UInt64 = bits <= 0 ? 0 : .max << UInt64(64 - min(bits, 64))
            let lowMask: UInt64 = bits <= 64 ? 0 : .max << UInt64(128 - min(bits, 128))
            return SocketAddress(family: .ipv6, high: high & highMask, low: low & lowMask, port: port)
        }
    }
}

extension UInt8 {
    fileprivate var hexadecimalDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
